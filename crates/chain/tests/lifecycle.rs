//! The contracts through this crate, on a real node: reads at depth, proofs, refusals.

mod common;

use common::{World, native, rpc_options, sender_options, wallet};
use licen_chain::anvil::{Anvil, AnvilOptions};
use licen_chain::deployment::{Deployment, DeploymentError, deploy, deploy_beside};
use licen_chain::{Call, ChainError, RpcOptions, SendError};
use licen_core::abi::{Custody, DataPolicy, Job, ResultManifest};
use licen_core::id;
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256, U256};

/// One that answers the same views, and keeps what is paid into it.
async fn another_contract_is_refused(world: &World, deployment: &Deployment) {
    let (rpc, address) = (world.rpcs.primary(), world.chain.data_policy());
    let head = world.rpcs.confirmed_head().await.unwrap();
    let code = world.rpcs.code(&head, address).await.unwrap().to_vec();
    let mut other = code.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    for replaced in [other, code[..code.len() - 1].to_vec(), vec![0x00]] {
        rpc.dev_set_code(address, &replaced).await.unwrap();
        rpc.dev_mine(5).await.unwrap();
        let refused = deployment.verify(&world.rpcs).await.unwrap_err();
        let expected = DeploymentError::Chain(ChainError::OtherContract { address, name: "DataPolicy" });
        assert_eq!(refused.to_string(), expected.to_string());
    }
    rpc.dev_set_code(address, &code).await.unwrap();
    rpc.dev_mine(5).await.unwrap();
    deployment.verify(&world.rpcs).await.unwrap();
}

#[tokio::test]
async fn a_job_goes_from_grant_to_settlement() {
    let world = World::start().await;
    let file = world.dir.path().join("deployment.json");
    world.deployment.write(&file).unwrap();
    let read = Deployment::read(&file).unwrap();
    assert_eq!(read, world.deployment);
    read.verify(&world.rpcs).await.unwrap();
    another_contract_is_refused(&world, &read).await;

    let policy = world.publish().await;
    let (commitment, paused) = world.chain.dataset_state(policy.datasetUid).await.unwrap().value;
    assert_eq!((&commitment[..31], paused), (&id::policy_hash(&policy)[..31], false));
    let set = world.chain.set_of(world.set_id(), 1).await.unwrap().value;
    assert_eq!((set.t, set.members[0].signer), (1, world.custodian.address()));
    assert!(world.chain.appraisal_policy_live(world.appraisal_policy()).await.unwrap().value);
    let entry = B256::repeat_byte(10);
    assert!(world.chain.appraisal_entry_live(world.appraisal_policy(), entry).await.unwrap().value);

    let requester = wallet(&world.rpcs, world.dir.path(), sender_options()).await;
    let job = world.grant(&requester, "request", &policy).await;
    assert_eq!(world.chain.job_at_depth(&job, None).await.unwrap().value, JobState::Granted);
    let early = world.chain.confirmed_run(&job).await;
    assert!(matches!(early, Err(ChainError::JobState { found: "Granted", .. })), "{early:?}");
    let runs = world.chain.runs_of(policy.datasetUid, requester.address()).await.unwrap().value;
    assert_eq!((runs.counter, runs.runs), (1, 1));

    let running = world.run(&job).await;
    let proof = world.chain.confirmed_run(&running).await.unwrap();
    assert_eq!((proof.job(), proof.domain()), (&running, &world.domain()));
    // A job that names another key is not the one the chain runs.
    let forged = licen_core::abi::Job { runtimeDataHash: B256::repeat_byte(99), ..running.clone() };
    assert!(matches!(world.chain.confirmed_run(&forged).await, Err(ChainError::JobMismatch { .. })));
    assert!(world.chain.confirmed_settlement(&running, 0).await.is_err());

    let confirm = world.confirm_call(&running, 2);
    world.owner.send_and_confirm(&world.call("confirm", 0, &confirm)).await.unwrap();
    let since = world.deployment.start_block;
    let settled = world.chain.confirmed_settlement(&running, since).await.unwrap();
    assert_eq!((settled.job(), settled.manifest()), (&running, &confirm.manifest));
    // The chain remembers the result: nothing else is taken for it, and the job alone is not enough.
    let state = |manifest| world.chain.job_at_depth(&running, manifest);
    assert_eq!(state(Some(&confirm.manifest)).await.unwrap().value, JobState::Completed);
    let other = ResultManifest { adapterRoot: B256::repeat_byte(77), ..confirm.manifest.clone() };
    for wrong in [None, Some(&other)] {
        assert!(matches!(state(wrong).await, Err(ChainError::JobMismatch { .. })));
    }
    let forged = world.chain.confirmed_settlement(&Job { epochs: 5, ..running.clone() }, since).await;
    assert!(matches!(forged, Err(ChainError::JobMismatch { .. })), "{forged:?}");
    let owner = id::account_of(world.owner.address());
    assert_eq!(world.chain.credit(owner, native()).await.unwrap().value, U256::from(2_000));
    let withdraw = DataPolicy::withdrawCall { account: world.owner.address(), token: native() };
    world.owner.send_and_confirm(&world.call("withdraw", 0, &withdraw)).await.unwrap();
    assert_eq!(world.chain.credit(owner, native()).await.unwrap().value, U256::ZERO);
    let unknown = licen_core::abi::Job { jobId: B256::repeat_byte(77), ..running };
    assert!(matches!(world.chain.job_at_depth(&unknown, None).await, Err(ChainError::JobUnknown { .. })));
}

#[tokio::test]
async fn a_second_data_policy_stands_beside_the_first() {
    let world = World::start().await;
    let first = &world.deployment;
    let both = deploy_beside(&world.owner, "second", first, world.owner.address(), 0).await.unwrap();
    let [newest, oldest] = both.contracts.data_policies[..] else { panic!("{both:?}") };
    assert_eq!((oldest, both.contracts.custody), (first.contracts.newest(), first.contracts.custody));
    assert_ne!(newest, oldest);
    let again = deploy_beside(&world.owner, "second", &both, world.owner.address(), 0).await.unwrap();
    assert_eq!(again, both, "the same name deploys nothing more");
    // The same dataset, by its owner, at both: one uid, two policies that are the chain's own.
    let policy = world.publish().await;
    let there = both.chain(world.rpcs.clone());
    assert_eq!(there.data_policy(), newest);
    let register = DataPolicy::registerDataset_0Call { policy: policy.clone() };
    let call = Call { to: Some(newest), ..world.call("register there", 0, &register) };
    world.owner.send_and_confirm(&call).await.unwrap();
    let dataset = policy.datasetUid;
    let here = world.chain.dataset_state(dataset).await.unwrap().value;
    assert_eq!(there.dataset_state(dataset).await.unwrap().value, here);
    // A deployment that names another Custody is refused whole.
    let mut mixed = both.clone();
    mixed.contracts.custody =
        deploy(&world.owner, "other", "", world.owner.address(), 0).await.unwrap().contracts.custody;
    let refused = mixed.verify(&world.rpcs).await;
    assert!(matches!(refused, Err(DeploymentError::CustodyDiffers { .. })), "{refused:?}");
    mixed.contracts.data_policies.clear();
    let file = world.dir.path().join("none.json");
    mixed.write(&file).unwrap();
    assert!(matches!(Deployment::read(&file), Err(DeploymentError::NoDataPolicy { .. })));
}

#[tokio::test]
async fn an_appraisal_entry_counts_as_it_stood_at_the_block() {
    let world = World::start().await;
    world.publish().await;
    let (policy, entry, later) = (world.appraisal_policy(), B256::repeat_byte(10), B256::repeat_byte(11));
    let since = world.deployment.start_block;
    let live = |entry: B256, at: u64, time: u64| {
        let chain = &world.chain;
        async move { chain.appraisal_entry_at(policy, entry, since, at, time).await.unwrap() }
    };
    let add = Custody::addAppraisalEntryCall { id: policy, entry: later };
    let added = world.owner.send_and_confirm(&world.custody_call("add", &add)).await.unwrap().mined;
    let time = world.rpcs.block(added.block_number).await.unwrap().timestamp;
    assert!(live(entry, added.block_number, time).await);
    assert!(!live(B256::repeat_byte(12), added.block_number, time).await, "never an entry");
    assert!(!live(later, added.block_number, time).await, "48 h have not passed");
    assert!(live(later, added.block_number, time + 48 * 3_600).await);
    let revoke = Custody::revokeAppraisalEntryCall { id: policy, entry };
    let revoked = world.owner.send_and_confirm(&world.custody_call("revoke", &revoke)).await.unwrap().mined;
    assert!(live(entry, revoked.block_number - 1, time).await, "it held before");
    assert!(!live(entry, revoked.block_number, time).await);
    let end = Custody::revokeAppraisalPolicyCall { id: policy };
    let ended = world.owner.send_and_confirm(&world.custody_call("end", &end)).await.unwrap().mined;
    assert!(!live(later, ended.block_number, time + 48 * 3_600).await);
}

#[tokio::test]
async fn a_refusal_is_known_before_anything_is_sent() {
    let world = World::start().await;
    let policy = world.publish().await;
    let requester = wallet(&world.rpcs, world.dir.path(), sender_options()).await;
    let mut request = world.request();
    request.epochs = 9;
    let ask = DataPolicy::requestAccess_0Call { policy, request };
    let refused = requester.send_and_confirm(&world.call("too many", 9_000, &ask)).await;
    let Err(SendError::Chain(ChainError::Reverted(revert))) = refused else { panic!("{refused:?}") };
    assert_eq!(revert.to_string(), "9 epochs asked, the policy allows 1 to 5 per run");
    let poor = world.rpcs.primary();
    poor.dev_fund(requester.address(), U256::from(1)).await.unwrap();
    let ask = DataPolicy::withdrawCall { account: world.owner.address(), token: native() };
    let broke = requester.send_and_confirm(&world.call("broke", 0, &ask)).await;
    assert!(broke.is_err(), "{broke:?}");
    // Neither took a nonce.
    assert!(
        licen_chain::Journal::open(requester.journal(), 31337, requester.address()).await.unwrap().is_empty()
    );
}

#[tokio::test]
async fn wallets_with_code_sign_by_their_own_rule() {
    let world = World::start().await;
    let digest = B256::repeat_byte(1);
    let signature = world.custodian.sign_digest(&digest);
    let signed = async |who: Address, sig: &[u8]| world.chain.is_signed_by(who, digest, sig).await.unwrap();
    assert!(signed(world.custodian.address(), &signature).await);
    assert!(!signed(world.compute.address(), &signature).await);
    assert!(!signed(Address::ZERO, &signature).await);
    assert!(!signed(world.custodian.address(), &signature[..64]).await);
    let rpc = world.rpcs.primary();
    // Returns the magic value whatever is asked.
    let agrees = Address::repeat_byte(0xa1);
    rpc.dev_set_code(agrees, &hex::decode("631626ba7e60e01b60005260206000f3").unwrap()).await.unwrap();
    assert!(signed(agrees, &[1, 2, 3]).await);
    // Burns all the gas it gets; reverts; says something else.
    for (address, code) in [(0xa2, "5b600056"), (0xa3, "60006000fd"), (0xa4, "600160005260206000f3")] {
        let wallet = Address::repeat_byte(address);
        rpc.dev_set_code(wallet, &hex::decode(code).unwrap()).await.unwrap();
        assert!(!signed(wallet, &[1, 2, 3]).await, "{code}");
    }
}

#[tokio::test]
async fn off_the_local_chain_two_rpcs_must_agree() {
    // Two nodes of one chain, by the same genesis, that can be made to differ.
    let start = |id: u64| async move {
        let arguments = vec!["--timestamp".into(), "1700000000".into()];
        common::anvil(&AnvilOptions { chain_id: Some(id), arguments, ..AnvilOptions::default() }).await
    };
    let (a, b, other) = (start(16_602).await, start(16_602).await, start(16_601).await);
    let connect = |urls: Vec<&Anvil>| {
        let urls = urls.iter().map(|n| n.url().to_string()).collect();
        async move { common::connect(&RpcOptions { urls, ..rpc_options("") }).await }
    };
    let one = connect(vec![&a]).await;
    assert!(matches!(one, Err(ChainError::TooFewRpcs { chain_id: 16_602, given: 1 })), "{one:?}");
    assert!(matches!(connect(vec![&a, &a]).await, Err(ChainError::TooFewRpcs { .. })));
    assert!(matches!(connect(vec![&a, &other]).await, Err(ChainError::OtherChain { .. })));
    let both = connect(vec![&a, &b]).await.unwrap();
    let account = Address::repeat_byte(1);
    let head = both.confirmed_head().await.unwrap();
    assert_eq!(both.balance(&head, account).await.unwrap(), U256::ZERO);
    let only_a =
        common::connect(&RpcOptions { urls: vec![a.url().into(), b.url().into()], ..rpc_options("") })
            .await
            .unwrap();
    only_a.primary().dev_fund(account, U256::from(5)).await.unwrap();
    let denied = both.balance(&head, account).await;
    assert!(matches!(denied, Err(ChainError::Disagree { .. })), "{denied:?}");
    only_a.primary().dev_mine(40).await.unwrap();
    let behind = both.confirmed_head().await;
    assert!(matches!(behind, Err(ChainError::Behind { blocks: 40, .. })), "{behind:?}");
}
