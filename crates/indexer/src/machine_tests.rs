use super::*;
use std::collections::BTreeSet;

use crate::fixture::{Balances, CUSTODY, HERE, Model, THERE, TOKEN, header, history, origin, splits};
use licen_core::abi::{DataPolicy, Split};
use licen_core::id::{address_of, result_commitment, split_account};
use licen_core::primitives::U256;
use licen_store::{Select, Store};
use proptest::prelude::*;

/// Everything that follows the chain, row by row.
async fn dump(store: &Store) -> String {
    let all = Select { limit: 10_000, ..Select::default() };
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        store.datasets(&all).await.unwrap(),
        store.policies(&all).await.unwrap(),
        store.jobs(&all).await.unwrap(),
        store.audit_log(&all).await.unwrap(),
        store.custodian_sets(&all).await.unwrap(),
        store.providers(&all).await.unwrap(),
        store.splits(&all).await.unwrap(),
        store.payments(&all).await.unwrap(),
    )
}

/// What every account has, out of nothing but the rows of moves.
async fn balances(store: &Store) -> Balances {
    let all = Select { limit: 10_000, ..Select::default() };
    let mut found = Balances::new();
    for row in store.payments(&all).await.unwrap() {
        let has = found.entry((row.contract, row.account, row.token)).or_default();
        match row.kind.as_str() {
            "credited" => *has += row.amount,
            "withdrawn" | "distributed" => *has -= row.amount,
            other => panic!("{other}"),
        }
    }
    found.retain(|_, amount| !amount.is_zero());
    found
}

/// The accounts that are splits, with what is known to be behind them, after a block: rule by rule as
/// docs/protocol.md says it, without the index.
fn known_splits(model: &Model, block: u64) -> BTreeMap<B256, Option<Split>> {
    let mut named: BTreeSet<B256> = BTreeSet::new();
    let mut announced: BTreeMap<B256, Split> = BTreeMap::new();
    for event in model.events.iter().filter(|event| event.block_number <= block) {
        let accounts = match &event.kind {
            EventKind::PolicySet(e) => vec![e.policy.payee],
            EventKind::ProviderSet(e) => vec![e.provider.payee],
            EventKind::Credited(e) => vec![e.account],
            EventKind::SplitAnnounced(e) if named.contains(&e.account) => {
                announced.entry(e.account).or_insert(e.split.clone()).accounts.clone()
            }
            _ => vec![],
        };
        named.extend(accounts.into_iter().filter(|account| address_of(*account).is_none()));
    }
    named.into_iter().map(|account| (account, announced.get(&account).cloned())).collect()
}

async fn indexed_splits(store: &Store) -> BTreeMap<B256, Option<Split>> {
    let rows = store.splits(&Select { limit: 10_000, ..Select::default() }).await.unwrap();
    let split = |abi: Bytes| Split::abi_decode(&abi).unwrap();
    rows.into_iter().map(|row| (row.account, row.split_abi.map(split))).collect()
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Register(bool),
    Update(usize),
    Pause(usize, bool),
    Open(usize, u32),
    Start(usize),
    Complete(usize, u32),
    Fail(usize, Reason),
    Cancel(usize),
    Withdraw(usize, bool),
    Distribute(bool, usize, bool),
    Announce(bool, usize),
    Provider(usize),
    RaiseNonce(bool),
    Custody,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => any::<bool>().prop_map(Op::Register),
        1 => (0usize..6).prop_map(Op::Update),
        1 => (0usize..6, any::<bool>()).prop_map(|(at, p)| Op::Pause(at, p)),
        4 => (0usize..6, 1u32..5).prop_map(|(at, e)| Op::Open(at, e)),
        4 => (0usize..6).prop_map(Op::Start),
        4 => (0usize..6, 1u32..5).prop_map(|(at, e)| Op::Complete(at, e)),
        2 => (0usize..6, prop::sample::select(&Reason::ALL[..])).prop_map(|(at, r)| Op::Fail(at, r)),
        1 => (0usize..6).prop_map(Op::Cancel),
        2 => (0usize..9, any::<bool>()).prop_map(|(at, to)| Op::Withdraw(at, to)),
        3 => (any::<bool>(), 0usize..4, any::<bool>()).prop_map(|(c, at, t)| Op::Distribute(c, at, t)),
        4 => (any::<bool>(), 0usize..4).prop_map(|(c, at)| Op::Announce(c, at)),
        1 => (0usize..4).prop_map(Op::Provider),
        1 => any::<bool>().prop_map(Op::RaiseNonce),
        1 => Just(Op::Custody),
    ]
}

fn run(model: &mut Model, op: Op) {
    let contract = |there| if there { THERE } else { HERE };
    match op {
        Op::Register(there) => model.register(contract(there)),
        Op::Update(at) => model.update(at),
        Op::Pause(at, paused) => model.pause(at, paused),
        Op::Open(at, epochs) => model.open(at, epochs),
        Op::Start(at) => model.start(at),
        Op::Complete(at, epochs) => model.complete(at, epochs),
        Op::Fail(at, reason) => model.fail(at, reason),
        Op::Cancel(at) => model.cancel(at),
        Op::Withdraw(at, elsewhere) => model.withdraw(at, elsewhere),
        Op::Distribute(there, at, coin) => {
            model.distribute(contract(there), at, if coin { Address::ZERO } else { TOKEN });
        }
        Op::Announce(there, at) => model.announce(contract(there), at),
        Op::Provider(at) => model.provider(split_account(&splits()[at])),
        Op::RaiseNonce(there) => model.raise_nonce(contract(there)),
        Op::Custody => model.custody(),
    }
}

async fn undo_is_exact(blocks: Vec<Vec<Op>>, cut: usize) {
    let mut model = Model::default();
    for ops in blocks {
        model.next_block();
        for op in ops {
            run(&mut model, op);
        }
    }
    let store = Store::in_memory().await.unwrap();
    let mut dumps = Vec::new();
    let mut below = None;
    for number in 0..=model.block {
        let batch =
            crate::batch(&store, origin(), &model.advance(below, None, number, number)).await.unwrap();
        store.apply(&batch).await.unwrap();
        dumps.push(dump(&store).await);
        assert_eq!(balances(&store).await, model.balances_after(number), "after block {number}");
        assert_eq!(indexed_splits(&store).await, known_splits(&model, number), "after block {number}");
        below = Some(header(number, 0));
    }
    let common = u64::try_from(cut).unwrap() % (model.block + 1);
    let undo = licen_store::Batch {
        from: below.map(|h| licen_store::Position { number: h.number, hash: h.hash }),
        undo_above: Some(common),
        ..licen_store::Batch::default()
    };
    store.apply(&undo).await.unwrap();
    assert_eq!(dump(&store).await, dumps[usize::try_from(common).unwrap()], "undo to {common}");
    // Another index that reads all of it in one step holds the same.
    assert_eq!(dump(&model.store().await).await, *dumps.last().unwrap(), "in one step");
    // Undo and what comes instead, in one step.
    let below = Some(header(common, 0));
    let again = model.advance(below, None, common + 1, model.block);
    if common < model.block {
        let batch = crate::batch(&store, origin(), &again).await.unwrap();
        store.apply(&batch).await.unwrap();
    }
    let last = dumps.last().unwrap().clone();
    assert_eq!(dump(&store).await, last, "again from {common}");
    let top = Some(header(model.block, 0));
    let both = model.advance(top, Some(common), common + 1, model.block);
    if common < model.block {
        let batch = crate::batch(&store, origin(), &both).await.unwrap();
        store.apply(&batch).await.unwrap();
        assert_eq!(dump(&store).await, last, "undo and again from {common}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn taking_blocks_back_restores_every_byte(
        blocks in prop::collection::vec(prop::collection::vec(op(), 0..12), 1..8),
        cut in 0usize..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(undo_is_exact(blocks, cut));
    }
}

/// The history with its last event of a kind changed, and all events after it left out.
fn changed<T>(
    model: &Model,
    pick: impl Fn(&mut EventKind) -> Option<&mut T>,
    change: impl FnOnce(&mut T),
) -> Result<Applied, ApplyError> {
    let mut cut = model.clone();
    while pick(&mut cut.events.last_mut().expect("there is such an event").kind).is_none() {
        cut.events.pop();
    }
    assert!(last(&cut, |_| {}).is_ok());
    last(&cut, |kind| change(pick(kind).unwrap()))
}

macro_rules! pick {
    ($kind:ident) => {
        |kind: &mut EventKind| match kind {
            EventKind::$kind(event) => Some(event),
            _ => None,
        }
    };
}

fn last(model: &Model, change: impl FnOnce(&mut EventKind)) -> Result<Applied, ApplyError> {
    let mut view = View::default();
    let mut events = model.events.clone();
    change(&mut events.last_mut().unwrap().kind);
    let mut applied = Applied::default();
    for event in &events {
        applied = apply(origin(), event, &mut view)?;
    }
    Ok(applied)
}

#[test]
fn money_that_does_not_add_up_stops_the_index() {
    let mut model = history();
    model.start(3);
    model.complete(3, 1);
    model.open(0, 3);
    model.start(4);
    model.complete(4, 2);
    let refused = changed(&model, pick!(RefundIssued), |refund| refund.amount += U256::ONE);
    assert!(matches!(refused, Err(ApplyError::Money { what: "refund", .. })));
    let refused = changed(&model, pick!(RoyaltySettled), |royalty| royalty.amount -= U256::ONE);
    assert!(matches!(refused, Err(ApplyError::Money { what: "royalty", .. })));
}

#[test]
fn a_result_is_the_one_that_its_job_was_completed_with() {
    let model = history();
    for change in [
        |m: &mut ResultManifest| m.actualEpochs = 1,
        |m: &mut ResultManifest| m.resultHash = B256::ZERO,
        |m: &mut ResultManifest| m.attestationRef = B256::ZERO,
        |m: &mut ResultManifest| m.datasetRoot = B256::ZERO,
        |m: &mut ResultManifest| m.jobId = B256::ZERO,
    ] {
        let refused = changed(&model, pick!(ResultRecorded), |e| change(&mut e.manifest));
        assert!(matches!(refused, Err(ApplyError::Identity { what: "result of job", .. })), "{refused:?}");
    }
    // More epochs than were paid for, said by both events.
    let mut long = model.clone();
    while !matches!(long.events.last().unwrap().kind, EventKind::ResultRecorded(_)) {
        long.events.pop();
    }
    for event in &mut long.events {
        match &mut event.kind {
            EventKind::JobCompleted(e) => e.actualEpochs = 9,
            EventKind::ResultRecorded(e) => e.manifest.actualEpochs = 9,
            _ => {}
        }
    }
    let first = long.events.iter().position(|e| matches!(e.kind, EventKind::ResultRecorded(_))).unwrap();
    long.events.truncate(first + 1);
    let refused = last(&long, |_| {});
    assert!(matches!(refused, Err(ApplyError::Range { what: "actualEpochs", value: 9, .. })), "{refused:?}");
}

#[test]
fn a_royalty_without_a_result_and_a_result_without_an_end_stop_the_index() {
    let model = history();
    let at = |name: &str| model.events.iter().position(|e| e.kind.name() == name).unwrap();
    let mut without = model.clone();
    without.events.truncate(at("RoyaltySettled") + 1);
    without.events.remove(at("ResultRecorded"));
    let refused = last(&without, |_| {});
    assert!(matches!(refused, Err(ApplyError::Order { event: "RoyaltySettled", .. })), "{refused:?}");
    let mut without = model.clone();
    without.events.truncate(at("ResultRecorded") + 1);
    without.events.remove(at("JobCompleted"));
    let refused = last(&without, |_| {});
    assert!(matches!(refused, Err(ApplyError::Order { event: "ResultRecorded", .. })), "{refused:?}");
}

#[test]
fn a_contract_speaks_for_itself_alone() {
    let model = history();
    let speak = |position: usize, contract: Address| {
        let mut other = model.clone();
        other.events.truncate(position + 1);
        other.events.last_mut().unwrap().contract = contract;
        last(&other, |_| {})
    };
    let mut tried = 0;
    for (position, event) in model.events.iter().enumerate() {
        // Nobody's contract, and the registry in the place of a ledger or the other way round.
        let swapped = if event.contract == CUSTODY { HERE } else { CUSTODY };
        for contract in [Address::repeat_byte(0x66), swapped] {
            let refused = speak(position, contract);
            assert!(matches!(refused, Err(ApplyError::Contract { .. })), "{:?}: {refused:?}", event.kind);
        }
        // A job's step, said by the other DataPolicy.
        if let crate::Need::Job(id) = crate::need(event)
            && !matches!(event.kind, EventKind::JobOpened(_) | EventKind::Credited(_))
        {
            let other = if event.contract == HERE { THERE } else { HERE };
            let refused = speak(position, other);
            assert!(
                matches!(refused, Err(ApplyError::JobElsewhere { job_id, .. }) if job_id == id),
                "{refused:?}"
            );
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
    // A job that is known cannot be opened again elsewhere.
    let mut model = model;
    let job = model.jobs[0].1.clone();
    model.log(THERE, EventKind::JobOpened(DataPolicy::JobOpened { jobId: job.jobId, job }));
    assert!(matches!(last(&model, |_| {}), Err(ApplyError::JobElsewhere { .. })));
}

#[test]
fn a_credit_with_the_id_of_a_job_elsewhere_is_not_that_jobs() {
    let mut model = history();
    let job = &model.jobs[0].1;
    let event = DataPolicy::Credited {
        account: job.payee,
        token: Address::ZERO,
        r#ref: job.jobId,
        amount: U256::ONE,
    };
    model.log(THERE, EventKind::Credited(event));
    let applied = last(&model, |_| {}).unwrap();
    let Some(Change::Payment(row)) = applied.changes.first() else { panic!("{applied:?}") };
    assert_eq!((row.reference, row.job_id), (Some(model.jobs[0].1.jobId), None));
}

#[tokio::test]
async fn a_stored_job_and_result_are_what_the_chain_commits_to() {
    let model = history();
    let store = model.store().await;
    for (contract, job, state) in &model.jobs {
        let row = store.job(job.jobId).await.unwrap().unwrap();
        assert_eq!((row.contract, row.state), (*contract, *state as u8));
        let stored = Job::abi_decode(&row.job_abi).unwrap();
        assert_eq!(&stored, job);
        let Some(abi) = row.manifest_abi else {
            assert_ne!(*state, JobState::Completed);
            continue;
        };
        let manifest = ResultManifest::abi_decode(&abi).unwrap();
        let expected = crate::fixture::manifest(job, 2);
        assert_eq!(result_commitment(&stored, &manifest), result_commitment(job, &expected));
        assert_eq!(row.adapter_root, Some(expected.adapterRoot));
        assert_eq!((row.tokens_trained, row.eval_after), (Some(4_001), Some(1_250_000)));
    }
    // One dataset at two contracts: updated here, untouched there.
    let uid = model.policies[0].1.datasetUid;
    let here = store.dataset(HERE, uid).await.unwrap().unwrap();
    let there = store.dataset(THERE, uid).await.unwrap().unwrap();
    assert_eq!((here.policy_version, there.policy_version), (2, 1));
    assert!(store.policy(HERE, here.policy_hash).await.unwrap().is_some());
    assert!(store.policy(THERE, here.policy_hash).await.unwrap().is_none());
}

#[tokio::test]
async fn a_replaced_end_is_another_end() {
    // A block in which a job completed is replaced by one in which it expired.
    let mut model = Model::default();
    model.register(HERE);
    model.open(0, 3);
    model.next_block();
    model.start(0);
    model.next_block();
    let (contract, job, _) = model.jobs[0].clone();
    let before = model.events.len();
    model.complete(0, 2);
    let store = model.store().await;
    assert!(store.job(job.jobId).await.unwrap().unwrap().manifest_abi.is_some());
    model.events.truncate(before);
    let event = DataPolicy::JobExpired { jobId: job.jobId };
    model.log(contract, EventKind::JobExpired(event));
    let amount = money::total_escrow(&job);
    let event = DataPolicy::RefundIssued { jobId: job.jobId, amount };
    model.log(contract, EventKind::RefundIssued(event));
    let advance = model.advance(Some(header(2, 0)), Some(1), 2, 2);
    let batch = crate::batch(&store, origin(), &advance).await.unwrap();
    store.apply(&batch).await.unwrap();
    let row = store.job(job.jobId).await.unwrap().unwrap();
    assert_eq!((row.state, row.manifest_abi, row.royalty), (JobState::Expired as u8, None, None));
    assert_eq!(row.refund, Some(amount));
    assert_eq!(balances(&store).await, Balances::new());
}

#[test]
fn names_that_are_not_hashes_of_what_they_name_stop_the_index() {
    let mut model = Model::default();
    model.register(HERE);
    let refused = last(&model, |kind| {
        let EventKind::PolicySet(set) = kind else { panic!("a policy is last") };
        set.policy.royaltyPerEpoch = 0;
    });
    assert!(matches!(refused, Err(ApplyError::Identity { what: "policy", .. })));
    let refused = last(&model, |kind| {
        let EventKind::PolicySet(set) = kind else { panic!("a policy is last") };
        set.policy.salt = B256::repeat_byte(99);
        set.policyHash = policy_hash(&set.policy);
    });
    assert!(matches!(refused, Err(ApplyError::Identity { what: "dataset", .. })));
    let refused = last(&model, |kind| {
        let EventKind::PolicySet(set) = kind else { panic!("a policy is last") };
        set.datasetUid = B256::repeat_byte(99);
    });
    assert!(matches!(refused, Err(ApplyError::Identity { what: "dataset", .. })));
    let unknown = EventKind::JobExpired(DataPolicy::JobExpired { jobId: B256::repeat_byte(1) });
    let refused = last(&model, |kind| *kind = unknown);
    assert!(matches!(refused, Err(ApplyError::JobUnknown(_))));
    model.announce(HERE, 0);
    let refused = last(&model, |kind| {
        let EventKind::SplitAnnounced(said) = kind else { panic!("an announcement is last") };
        said.split.bps.reverse();
    });
    assert!(matches!(refused, Err(ApplyError::Identity { what: "split", .. })));
}

#[tokio::test]
async fn announced_splits_that_no_money_reaches_cost_the_index_nothing() {
    let mut model = history();
    let rows = |store: Store| async move { dump(&store).await };
    let before = rows(model.store().await).await;
    for at in [0, 2, 3] {
        model.announce(HERE, at);
        model.announce(THERE, at);
    }
    // Split 0 is behind split 1, which the provider named and somebody announced.
    let after = model.store().await;
    let known = indexed_splits(&after).await;
    let [inner, middle, outer, stranger] = splits();
    assert_eq!(known.get(&split_account(&inner)), Some(&Some(inner.clone())));
    assert_eq!(known.get(&split_account(&middle)), Some(&Some(middle)));
    assert!(!known.contains_key(&split_account(&outer)) && !known.contains_key(&split_account(&stranger)));
    model
        .events
        .retain(|e| !matches!(&e.kind, EventKind::SplitAnnounced(e) if e.account == split_account(&inner)));
    assert_eq!(rows(model.store().await).await, before);
}

#[test]
fn a_refund_that_no_number_of_epochs_explains_is_refused() {
    let mut model = Model::default();
    model.register(HERE);
    model.open(0, 3);
    model.start(0);
    model.fail(0, Reason::JobSpecInvalid);
    assert!(last(&model, |_| {}).is_ok());
    let refused = last(&model, |kind| {
        let EventKind::RefundIssued(refund) = kind else { panic!("a refund is last") };
        refund.amount -= U256::ONE;
    });
    assert!(matches!(refused, Err(ApplyError::Money { .. })));
}

#[tokio::test]
async fn a_royalty_is_followed_through_nested_splits_to_its_last_payee() {
    let mut model = Model::default();
    for _ in 0..3 {
        model.register(THERE);
    }
    model.open(2, 3);
    model.next_block();
    model.start(0);
    model.complete(0, 2);
    let job_id = model.jobs[0].1.jobId;
    model.next_block();
    let accounts = splits().map(|split| split_account(&split));
    for at in [2, 1, 0] {
        model.announce(HERE, at);
        model.distribute(THERE, at, Address::ZERO);
    }
    let store = model.store().await;
    let found = balances(&store).await;
    assert_eq!(found, model.balances_after(model.block));
    // 2,006 of royalty less 50 of fee: a third of a third, rounded down at each, and what is left over.
    let of = |account: B256| found.get(&(THERE, account, Address::ZERO)).copied().unwrap_or_default();
    let address = |n| licen_core::id::account_of(Address::repeat_byte(n));
    let has = [address(0xa1), address(0xa2), address(0xa3), accounts[0], accounts[1], accounts[2]].map(of);
    assert_eq!(has, [216, 434, 1_304, 1, 1, 0].map(U256::from));
    assert!(indexed_splits(&store).await.values().all(Option::is_some));
    let rows = store.payments(&Select { limit: 100, ..Select::default() }).await.unwrap();
    let credits: Vec<_> = rows.iter().filter(|row| row.kind == "credited").collect();
    let (of_job, of_split): (Vec<_>, Vec<_>) = credits.into_iter().partition(|row| row.job_id.is_some());
    assert!(of_job.len() == 3 && of_job.iter().all(|row| row.reference == Some(job_id)));
    let parents: BTreeSet<B256> = of_split.iter().map(|row| row.reference.unwrap()).collect();
    assert_eq!(parents, accounts[..3].iter().copied().collect());
}
