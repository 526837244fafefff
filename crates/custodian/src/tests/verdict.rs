//! Challenges and verdicts. Each attack is a test, named after it.

use licen_core::constraints::{Constraints, TrainingLimits};
use licen_core::job::JobState;
use licen_core::policy::LEVEL_HARDWARE;
use licen_core::primitives::{Address, B256, FixedBytes};
use licen_core::runtime_data::RuntimeData;

use super::*;

/// Runs one verdict request, changed by `change` after the nonce is known; gives the reply and the
/// reason on record.
async fn judged(
    world: &World,
    change: impl FnOnce(&mut RuntimeData, &FakeChain),
    tamper: impl FnOnce(&mut VerdictRequest),
) -> (Reply, String) {
    let mut bench = Bench::new(world).await;
    let nonce = bench.nonce(world).await;
    let compute = Compute::new(0x20);
    let mut data = compute.data(world, nonce);
    change(&mut data, &bench.chain);
    let mut request = compute.request(world, &data);
    tamper(&mut request);
    let reply = bench.ask(Ask::Verdict(request)).await;
    let reason = bench.reasons().await.pop().unwrap_or_else(|| bench.machine.last_counted().to_owned());
    (reply, reason)
}

async fn refused_data(change: impl FnOnce(&mut RuntimeData)) -> String {
    let (reply, reason) = judged(&World::new(), |data, _| change(data), |_| {}).await;
    assert_eq!(status(&reply), 403, "{reply:?}");
    reason
}

async fn refused_chain(change: impl FnOnce(&mut Said)) -> String {
    let (reply, reason) = judged(&World::new(), |_, chain| chain.say(change), |_| {}).await;
    assert_eq!(status(&reply), 403, "{reply:?}");
    reason
}

async fn refused_request(tamper: impl FnOnce(&mut VerdictRequest)) -> String {
    let (reply, reason) = judged(&World::new(), |_, _| {}, tamper).await;
    assert_eq!(status(&reply), 403, "{reply:?}");
    reason
}

#[tokio::test]
async fn a_good_request_gets_a_verdict_that_the_contract_takes() {
    let world = World::new();
    let (reply, _) = judged(&world, |_, _| {}, |_| {}).await;
    let answer: VerdictResponse = body(&reply);
    let verdict = &answer.verdict.0;
    assert_eq!(DOMAIN.member_of(verdict, &answer.signature.0), Some(signing(1).address()));
    assert_eq!((answer.signature.0.index, verdict.attempt, verdict.level), (0, 1, 1));
    assert_eq!((verdict.custodianSet, verdict.setVersion), (world.job.custodianSet, 1));
    assert_eq!(verdict.signer, Compute::new(0x20).signing.address());
    assert_eq!(verdict.expiresAt, NOW + 900);
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes_again() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let nonce = bench.nonce(&world).await;
    let compute = Compute::new(0x20);
    let request = compute.request(&world, &compute.data(&world, nonce));
    let first = bench.ask(Ask::Verdict(request.clone())).await;
    bench.now_ms += 1_000;
    assert_eq!(bench.ask(Ask::Verdict(request)).await, first);
    assert_eq!(bench.store.audit_entries(1, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_replayed_nonce_is_refused() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let nonce = bench.nonce(&world).await;
    for (n, expected) in [(0x20, 200), (0x21, 403)] {
        let compute = Compute::new(n);
        let request = compute.request(&world, &compute.data(&world, nonce));
        assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), expected);
    }
    assert!(bench.machine.last_counted().contains("nonce was used"));
}

#[tokio::test]
async fn a_nonce_is_spent_even_when_the_request_fails() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let nonce = bench.nonce(&world).await;
    let compute = Compute::new(0x20);
    let good = compute.request(&world, &compute.data(&world, nonce));
    let mut bad = good.clone();
    bad.envelope = vec![1].into();
    assert_eq!(status(&bench.ask(Ask::Verdict(bad)).await), 403);
    assert!(bench.reasons().await[0].contains("the envelope has root"));
    assert_eq!(status(&bench.ask(Ask::Verdict(good)).await), 403);
    assert!(bench.machine.last_counted().contains("nonce was used"));
}

#[tokio::test]
async fn an_old_nonce_is_refused() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let nonce = bench.nonce(&world).await;
    bench.now_ms += 121_000;
    let compute = Compute::new(0x20);
    let request = compute.request(&world, &compute.data(&world, nonce));
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    assert!(bench.machine.last_counted().contains("has expired"));
}

#[tokio::test]
async fn a_nonce_that_was_never_given_is_refused() {
    assert!(refused_data(|d| d.challenges[0].nonce = B256::ZERO).await.contains("not ours"));
}

#[tokio::test]
async fn the_nonce_of_another_custodian_is_refused() {
    let reason = refused_data(|d| d.challenges[0].custodian_id = signing(2).address()).await;
    assert!(reason.contains("no nonce of this custodian"), "{reason}");
}

/// With two of them a caller could offer an old nonce beside a good one.
#[tokio::test]
async fn two_nonces_of_one_custodian_are_refused() {
    let reason = refused_data(|d| {
        let again = Challenge { nonce: B256::repeat_byte(0xee), ..d.challenges[0].clone() };
        d.challenges.push(again);
    })
    .await;
    assert!(reason.contains("no nonce of this custodian"), "{reason}");
}

#[tokio::test]
async fn runtime_data_about_something_else_are_refused() {
    let zero = B256::ZERO;
    assert!(refused_data(|d| d.job_id = zero).await.contains("jobId"));
    assert!(refused_data(|d| d.job_hash = zero).await.contains("jobHash"));
    assert!(refused_data(|d| d.dataset_uid = zero).await.contains("datasetUid"));
    assert!(refused_data(|d| d.policy_hash = zero).await.contains("policyHash"));
    assert!(refused_data(|d| d.envelope_hash = zero).await.contains("envelopeHash"));
    assert!(refused_data(|d| d.job_spec_hash = zero).await.contains("jobSpecHash"));
    assert!(refused_data(|d| d.chain_id = 1).await.contains("chainId"));
    assert!(refused_data(|d| d.contract = Address::ZERO).await.contains("contract"));
    assert!(refused_data(|d| d.hpke_key = zero).await.contains("hpkeKey"));
    assert!(refused_data(|d| d.attempt = 2).await.contains("attempt"));
}

#[tokio::test]
async fn the_evidence_of_another_run_is_refused() {
    let reason = refused_request(|request| {
        let other = RuntimeData { attempt: 9, ..RuntimeData::from_bytes(&request.runtime_data).unwrap() };
        let compute = Compute::new(0x20);
        request.evidence = compute.request(&World::new(), &other).evidence;
    });
    assert!(reason.await.contains("other runtime data"));
}

/// The share goes to the key in the runtime data: evidence of a genuine machine must not lead to a key
/// that this machine does not have.
#[tokio::test]
async fn a_relay_that_puts_its_own_key_into_the_runtime_data_is_refused() {
    let reason = refused_request(|request| {
        let genuine = RuntimeData::from_bytes(&request.runtime_data).unwrap();
        let relays = RuntimeData { hpke_key: recipient(0x66).public().0, ..genuine.clone() };
        assert_ne!(relays, genuine);
        request.runtime_data = relays.to_bytes().unwrap().into();
    });
    assert!(reason.await.contains("other runtime data"));
}

#[tokio::test]
async fn an_unknown_program_is_refused() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let nonce = bench.nonce(&world).await;
    let tee = SimulatedTee::pretend(FixedBytes::repeat_byte(0x22), SimulatedPlatform::Default);
    let compute = Compute { tee, ..Compute::new(0x20) };
    let request = compute.request(&world, &compute.data(&world, nonce));
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    assert!(bench.reasons().await[0].contains("Tdx(TdxRegisters"));
}

#[tokio::test]
async fn a_revoked_entry_or_appraisal_policy_is_refused() {
    assert!(refused_chain(|said| said.entries.clear()).await.contains("not live"));
    assert!(refused_chain(|said| said.policy_live = false).await.contains("not live"));
}

#[tokio::test]
async fn a_job_in_another_state_is_refused() {
    for state in [JobState::Running, JobState::Completed, JobState::Failed, JobState::Cancelled] {
        assert!(refused_chain(|said| said.state = Some(state)).await.contains(state.name()));
    }
}

#[tokio::test]
async fn a_job_that_the_contract_did_not_commit_to_is_refused() {
    let reason = refused_chain(|said| said.job.epochs = 4).await;
    assert!(reason.contains("committed"), "{reason}");
}

#[tokio::test]
async fn a_job_past_its_start_deadline_is_refused() {
    assert!(refused_chain(|said| said.now = NOW + 1_801).await.contains("start deadline"));
}

#[tokio::test]
async fn another_policy_is_refused() {
    assert!(refused_request(|r| r.policy.0.royaltyPerEpoch = 1).await.contains("policy"));
}

#[tokio::test]
async fn other_documents_than_the_named_ones_are_refused() {
    assert!(refused_request(|r| r.envelope = vec![1, 2].into()).await.contains("the envelope has root"));
    assert!(refused_request(|r| r.constraints = b"{}".to_vec().into()).await.contains("the constraints"));
    assert!(refused_request(|r| r.job_spec = b"{}".to_vec().into()).await.contains("specification"));
}

#[tokio::test]
async fn oversized_documents_are_refused_before_the_nonce() {
    let reason = refused_request(|r| r.envelope = vec![0; 64 * 1024 + 1].into()).await;
    assert!(reason.contains("at most 65536"), "{reason}");
    assert!(refused_request(|r| r.runtime_data = vec![0; 20_000].into()).await.contains("runtime data"));
}

#[tokio::test]
async fn a_copied_envelope_of_another_dataset_opens_nothing() {
    let stranger = World::with(&Constraints::default(), |terms| terms.dataset_uid = B256::repeat_byte(1));
    let (reply, reason) = judged(&stranger, |_, _| {}, |_| {}).await;
    assert_eq!(status(&reply), 403);
    assert!(reason.contains("datasetUid"), "{reason}");
}

/// Owner and salt make the uid. Who names others for a dataset that is not its own is found out by them.
#[tokio::test]
async fn an_owner_or_salt_that_does_not_make_the_uid_is_refused() {
    let changes: [fn(&mut Policy); 2] =
        [|policy| policy.owner = Address::repeat_byte(0x66), |policy| policy.salt = B256::repeat_byte(0x66)];
    for change in changes {
        let mut world = World::new();
        change(&mut world.policy);
        world.job.policyHash = policy_hash(&world.policy);
        let (reply, reason) = judged(&world, |_, _| {}, |_| {}).await;
        assert_eq!(status(&reply), 403);
        assert!(reason.contains("envelope has another datasetUid"), "{reason}");
    }
}

#[tokio::test]
async fn an_envelope_of_another_chain_is_refused() {
    let world = World::with(&Constraints::default(), |terms| terms.chain_id = 1);
    let (reply, reason) = judged(&world, |_, _| {}, |_| {}).await;
    assert_eq!(status(&reply), 403);
    assert!(reason.contains("envelope has another chain"), "{reason}");
}

#[tokio::test]
async fn an_envelope_for_download_or_of_another_set_is_refused() {
    let reason = |change: fn(&mut EnvelopeTerms)| async move {
        let world = World::with(&Constraints::default(), change);
        judged(&world, |_, _| {}, |_| {}).await.1
    };
    assert!(reason(|t| t.uses = Uses::Download).await.contains("use"));
    assert!(reason(|t| t.set_version = 2).await.contains("setVersion"));
    assert!(reason(|t| t.t = 1).await.contains("threshold"));
    assert!(reason(|t| t.required_level = LEVEL_HARDWARE).await.contains("requiredLevel"));
}

#[tokio::test]
async fn a_custodian_outside_the_set_refuses() {
    assert!(refused_chain(|said| said.set.members.truncate(0)).await.contains("in neither set"));
}

#[tokio::test]
async fn a_custodian_whose_registered_key_is_another_refuses() {
    let reason = refused_chain(|said| said.set.members[0].hpkeKey = B256::ZERO).await;
    assert!(reason.contains("another HPKE key"), "{reason}");
}

/// The owner sealed to a key that the set does not name for that member: one that the owner chose.
#[tokio::test]
async fn an_envelope_with_another_key_for_another_member_is_refused() {
    let reason = refused_chain(|said| said.set.members[1].hpkeKey = B256::repeat_byte(0x66)).await;
    assert!(reason.contains("envelope has another member"), "{reason}");
    let reason = refused_chain(|said| said.set.members[1].signer = Address::repeat_byte(0x66)).await;
    assert!(reason.contains("envelope has another member"), "{reason}");
}

#[tokio::test]
async fn a_researcher_s_own_custodian_judges_without_a_share() {
    let mut world = World::new();
    world.job.verifierSet = B256::repeat_byte(0x0f);
    world.job.verifierSetVersion = 3;
    let own = world.set.members[0].clone();
    let set = move |said: &mut Said| {
        said.set.members.remove(0);
        said.verifier_set = Some(SetFacts { t: 1, members: vec![Member::default(), own] });
    };
    let (reply, reason) = judged(&world, |_, chain| chain.say(set), |_| {}).await;
    assert_eq!(reason, "");
    let answer: VerdictResponse = body(&reply);
    assert_eq!((answer.verdict.0.custodianSet, answer.verdict.0.setVersion), (world.job.verifierSet, 3));
    assert_eq!(answer.signature.0.index, 1);
}

#[tokio::test]
async fn a_base_model_or_setting_outside_the_constraints_gets_no_verdict() {
    let limits = |limits| Constraints { training_limits: limits, ..Constraints::default() };
    let small = limits(TrainingLimits { max_rank: Some(8), ..TrainingLimits::default() });
    let other = Constraints { base_models: vec![B256::ZERO], ..Constraints::default() };
    for (constraints, expected) in [(small, "rank 16"), (other, "base model")] {
        let (reply, reason) = judged(&World::with(&constraints, |_| {}), |_, _| {}, |_| {}).await;
        assert_eq!(status(&reply), 403);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_provider_must_be_registered_with_this_platform() {
    let id = B256::repeat_byte(0x0d);
    let named = |data: &mut RuntimeData| data.provider_id = id;
    assert!(refused_data(named).await.contains("not registered"));
    let platform = Compute::new(0x20).tee.platform_id();
    for (platforms, expected) in [(vec![], 403), (vec![platform], 200)] {
        let provider =
            Provider { creator: Address::repeat_byte(1), platformIds: platforms, ..Provider::default() };
        let change = |data: &mut RuntimeData, chain: &FakeChain| {
            named(data);
            chain.say(|said| said.provider = Some(provider));
        };
        let (reply, reason) = judged(&World::new(), change, |_| {}).await;
        assert_eq!(status(&reply), expected, "{reason}");
    }
}

#[tokio::test]
async fn a_provider_outside_the_owners_jurisdictions_gets_no_verdict() {
    let constraints = Constraints { jurisdictions: vec!["CH".into()], ..Constraints::default() };
    let platform = Compute::new(0x20).tee.platform_id();
    for (code, expected) in [("DE", 403), ("CHE", 403), ("", 403), ("CH", 200)] {
        let provider = Provider {
            creator: Address::repeat_byte(1),
            platformIds: vec![platform],
            jurisdiction: B256::right_padding_from(code.as_bytes()),
            ..Provider::default()
        };
        let change = |data: &mut RuntimeData, chain: &FakeChain| {
            data.provider_id = B256::repeat_byte(0x0d);
            chain.say(|said| said.provider = Some(provider));
        };
        let world = World::with(&constraints, |_| {});
        let (reply, reason) = judged(&world, change, |_| {}).await;
        assert_eq!(status(&reply), expected, "{code}: {reason}");
        assert_eq!(reason.contains("jurisdiction"), expected == 403, "{code}: {reason}");
    }
    // Nobody vouches for where a node stands that no provider registered.
    let (reply, reason) = judged(&World::with(&constraints, |_| {}), |_, _| {}, |_| {}).await;
    assert!(status(&reply) == 403 && reason.contains("jurisdiction"), "{reason}");
}

#[tokio::test]
async fn a_job_that_requires_hardware_gets_no_verdict_for_a_simulation() {
    let mut world = World::with(&Constraints::default(), |t| t.required_level = LEVEL_HARDWARE);
    world.policy.requiredLevel = LEVEL_HARDWARE;
    world.job.requiredLevel = LEVEL_HARDWARE;
    world.job.policyHash = policy_hash(&world.policy);
    let (reply, reason) = judged(&world, |_, _| {}, |_| {}).await;
    assert_eq!(status(&reply), 403);
    assert!(reason.contains("requires 2"), "{reason}");
}

#[tokio::test]
async fn a_retired_dataset_is_refused_for_ever() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let nonce = bench.nonce(&world).await;
    bench.store.put_tombstone(world.job.datasetUid, b"s", b"r", 1).await.unwrap();
    let compute = Compute::new(0x20);
    let request = compute.request(&world, &compute.data(&world, nonce));
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    assert!(bench.machine.last_counted().contains("retired"));
}

#[tokio::test]
async fn when_the_chain_cannot_be_read_nobody_gets_a_verdict() {
    let (reply, _) = judged(&World::new(), |_, chain| chain.say(|said| said.down = true), |_| {}).await;
    assert_eq!(status(&reply), 503);
}

#[tokio::test]
async fn refusals_sound_alike_and_the_log_only_commits_to_the_reason() {
    let world = World::new();
    let mut replies = Vec::new();
    for tamper in [
        (|r: &mut VerdictRequest| r.envelope = vec![1].into()) as fn(&mut VerdictRequest),
        |r| r.policy.0.version = 9,
        |r| r.evidence = Evidence::Simulated { quote: vec![1].into() },
    ] {
        let mut bench = Bench::new(&world).await;
        let nonce = bench.nonce(&world).await;
        let compute = Compute::new(0x20);
        let mut request = compute.request(&world, &compute.data(&world, nonce));
        tamper(&mut request);
        replies.push(bench.ask(Ask::Verdict(request)).await);
        let log = bench.store.audit_entries(1, 10).await.unwrap();
        let line = String::from_utf8(log[0].record.to_vec()).unwrap();
        assert!(line.contains(r#""event":"denied""#) && !line.contains("envelope"), "{line}");
    }
    assert!(replies.windows(2).all(|pair| pair[0] == pair[1]), "{replies:?}");
}

#[tokio::test]
async fn challenges_are_for_granted_jobs_of_this_chain() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let good = world.challenge();
    let unknown = ChallengeRequest { job_id: B256::ZERO, ..good.clone() };
    assert_eq!(status(&bench.ask(Ask::Challenge(unknown)).await), 425);
    let elsewhere = ChallengeRequest { chain_id: 1, ..good.clone() };
    assert_eq!(status(&bench.ask(Ask::Challenge(elsewhere)).await), 400);
    bench.chain.say(|said| said.state = Some(JobState::Expired));
    assert_eq!(status(&bench.ask(Ask::Challenge(good)).await), 409);
}

#[tokio::test]
async fn strangers_do_not_fill_the_log_or_the_disk() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let head = bench.store.audit_head().await.unwrap();
    let stranger = Compute::new(0x21);
    for n in 0x20..0xe0u8 {
        let unknown = Job { jobId: B256::repeat_byte(n), ..job.clone() };
        let ask = Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(unknown) });
        assert_eq!(status(&bench.ask(ask).await), 403);
        let other_keys = Job { runtimeDataHash: B256::repeat_byte(n), ..job.clone() };
        let ask = Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(other_keys) });
        assert_eq!(status(&bench.ask(ask).await), 403);
        let mut data = stranger.data(&world, B256::repeat_byte(n));
        let guessed = Ask::Verdict(stranger.request(&world, &data));
        assert_eq!(status(&bench.ask(guessed).await), 403);
        data.challenges.clear();
        let without = Ask::Verdict(stranger.request(&world, &data));
        assert_eq!(status(&bench.ask(without).await), 403);
    }
    assert_eq!(bench.store.audit_head().await.unwrap(), head);
    assert_eq!(bench.reasons().await, Vec::<String>::new());
}

/// Nonces of a granted job are there for the asking, so using them up proves little.
#[tokio::test]
async fn one_reason_about_one_job_is_not_written_down_without_end() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    for n in 0..20 {
        let nonce = bench.nonce(&world).await;
        let compute = Compute::new(0x20);
        let mut request = compute.request(&world, &compute.data(&world, nonce));
        request.envelope = vec![n].into();
        assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    }
    assert_eq!(bench.store.audit_entries(1, 100).await.unwrap().len(), 8);
}

#[tokio::test]
async fn asking_too_early_does_not_use_up_what_a_job_is_due() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let rates = Rates { per_job: 1, ..settings(1).rates };
    bench.machine = Machine::new(Settings { rates, ..settings(1) });
    let challenge = world.challenge();
    bench.chain.say(|said| said.state = None);
    for _ in 0..5 {
        assert_eq!(status(&bench.ask(Ask::Challenge(challenge.clone())).await), 425);
    }
    bench.chain.say(|said| said.state = Some(JobState::Granted));
    bench.nonce(&world).await;
    assert_eq!(status(&bench.ask(Ask::Challenge(challenge)).await), 429);
}

#[tokio::test]
async fn a_peer_that_asks_too_often_is_told_so_before_anything_is_read() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    bench.machine =
        Machine::new(Settings { rates: Rates { per_peer: 2, ..settings(1).rates }, ..settings(1) });
    bench.nonce(&world).await;
    bench.nonce(&world).await;
    bench.chain.say(|said| said.down = true);
    let again = Ask::Result { job_id: world.job.jobId };
    assert_eq!(status(&bench.ask(again).await), 429);
}
