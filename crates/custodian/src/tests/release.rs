//! Releases: to whom a share goes, and that it goes to nobody else.

use licen_core::id::as_granted;
use licen_core::job::JobState;
use licen_core::release::ConfirmedRun;
use licen_seal::release::{combine, open_released};
use licen_seal::warrant::{ReleaseDomain, ReleaseTerms};
use proptest::prelude::*;

use super::*;
use crate::effect::Write;
use crate::event::{Loaded, Wrote};

fn release(job: &Job) -> Ask {
    Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()) })
}

#[tokio::test]
async fn t_released_shares_make_the_dataset_key_in_compute_only() {
    let world = World::new();
    let compute = Compute::new(0x20);
    let chain = FakeChain::new(&world);
    let mut benches = Vec::new();
    for n in [1, 3] {
        benches.push(Bench::over(n, chain.clone(), Store::in_memory().await.unwrap()));
    }
    let mut data = compute.data(&world, B256::ZERO);
    data.challenges.clear();
    for (bench, n) in benches.iter_mut().zip([1, 3]) {
        let nonce = bench.nonce(&world).await;
        data.challenges.push(Challenge { custodian_id: signing(n).address(), nonce });
    }
    for bench in &mut benches {
        let reply = bench.ask(Ask::Verdict(compute.request(&world, &data))).await;
        assert_eq!(status(&reply), 200, "{reply:?}");
    }
    let job = world.running(&data);
    chain.say(|said| (said.state, said.job) = (Some(JobState::Running), job.clone()));
    let terms = ReleaseTerms {
        recipient: compute.recipient.public(),
        runtime_data_hash: job.runtimeDataHash,
        domain: ReleaseDomain::Simulated,
    };
    let envelope = envelope_of(&world);
    let mut shares = Vec::new();
    for bench in &mut benches {
        let answer: ReleaseResponse = body(&bench.ask(release(&job)).await);
        let stranger = recipient(0x21);
        let open = |key| open_released(&answer.share, key, &envelope, &terms);
        assert!(open(&stranger).is_err(), "nobody else opens it");
        shares.push(open(&compute.recipient).unwrap_or_else(|e| panic!("{e}")));
    }
    let key = combine(&envelope, &shares).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(key.commitment(&world.job.datasetUid), envelope.dek_commit());
}

#[tokio::test]
async fn a_granted_job_gets_no_share() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    bench.chain.say(|said| said.state = Some(JobState::Granted));
    assert_eq!(status(&bench.ask(release(&job)).await), 425);
    bench.chain.say(|said| said.state = Some(JobState::Completed));
    assert_eq!(status(&bench.ask(release(&job)).await), 425);
}

#[tokio::test]
async fn a_job_started_with_another_signer_gets_no_share() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let other = Job { signer: signing(0x21).address(), ..job };
    bench.chain.say(|said| said.job = other.clone());
    assert_eq!(status(&bench.ask(release(&other)).await), 403);
    assert!(bench.reasons().await[0].contains("signer"));
}

#[tokio::test]
async fn keys_that_this_custodian_did_not_judge_get_no_share() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let other = Job { runtimeDataHash: B256::repeat_byte(0xee), ..job };
    bench.chain.say(|said| said.job = other.clone());
    assert_eq!(status(&bench.ask(release(&other)).await), 403);
    assert!(bench.machine.last_counted().contains("no verdict"));
}

#[tokio::test]
async fn another_attempt_under_the_same_keys_gets_no_share() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let other = Job { attempt: 2, ..job };
    bench.chain.say(|said| said.job = other.clone());
    assert_eq!(status(&bench.ask(release(&other)).await), 403);
    assert!(bench.machine.last_counted().contains("no verdict"));
}

#[tokio::test]
async fn another_job_of_the_same_dataset_gets_no_share() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let other = Job { jobId: B256::repeat_byte(0x99), ..job };
    bench.chain.say(|said| said.job = other.clone());
    assert_eq!(status(&bench.ask(release(&other)).await), 403);
    assert!(bench.machine.last_counted().contains("no verdict"));
}

#[tokio::test]
async fn a_job_near_its_run_deadline_gets_no_share() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    bench.chain.say(|said| said.now = job.runDeadline - 30);
    assert_eq!(status(&bench.ask(release(&job)).await), 403);
    assert!(bench.reasons().await[0].contains("run deadline"));
    bench.chain.say(|said| said.now = job.runDeadline - 31);
    assert_eq!(status(&bench.ask(release(&job)).await), 200);
}

#[tokio::test]
async fn revocation_stops_a_release_that_was_not_made_yet() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    bench.chain.say(|said| said.entries.clear());
    assert_eq!(status(&bench.ask(release(&job)).await), 403);
    assert!(bench.reasons().await[0].contains("not live"));
}

#[tokio::test]
async fn a_second_key_for_one_attempt_is_refused() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    // Two sets of keys are judged while the job is Granted; a reorganisation swaps the start.
    let nonce = bench.nonce(&world).await;
    let second = Compute::new(0x21);
    let data = second.data(&world, nonce);
    assert_eq!(status(&bench.ask(Ask::Verdict(second.request(&world, &data))).await), 200);
    let job = bench.run(&world, &Compute::new(0x20)).await;
    assert_eq!(status(&bench.ask(release(&job)).await), 200);
    let swapped = world.running(&data);
    bench.chain.say(|said| said.job = swapped.clone());
    assert_eq!(status(&bench.ask(release(&swapped)).await), 403);
    assert!(bench.reasons().await[0].contains("another key"));
}

#[tokio::test]
async fn a_retry_gets_the_same_share_and_no_second_record() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let first = bench.ask(release(&job)).await;
    assert_eq!(bench.ask(release(&job)).await, first);
    assert_eq!(bench.store.audit_entries(1, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_crash_between_record_and_answer_gives_the_same_share() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custodian.db");
    let world = World::new();
    let chain = FakeChain::new(&world);
    let mut bench = Bench::over(1, chain.clone(), Store::open(&path).await.unwrap());
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let written =
        |effect: &Effect| matches!(effect, Effect::Write(write) if matches!(**write, Write::Release { .. }));
    assert_eq!(bench.ask_until(release(&job), written).await, None);
    let stored = bench.store.release(job.jobId, 1, "share").await.unwrap().unwrap();
    bench.store.close().await;
    let mut bench = Bench::over(1, chain, Store::open(&path).await.unwrap());
    assert_eq!(bench.ask(release(&job)).await, Reply::Json(stored.answer));
    assert_eq!(bench.store.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn a_crash_between_record_and_verdict_gives_the_same_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custodian.db");
    let world = World::new();
    let chain = FakeChain::new(&world);
    let mut bench = Bench::over(1, chain.clone(), Store::open(&path).await.unwrap());
    let nonce = bench.nonce(&world).await;
    let compute = Compute::new(0x20);
    let request = compute.request(&world, &compute.data(&world, nonce));
    let written =
        |effect: &Effect| matches!(effect, Effect::Write(write) if matches!(**write, Write::Release { .. }));
    assert_eq!(bench.ask_until(Ask::Verdict(request.clone()), written).await, None);
    bench.store.close().await;
    let mut bench = Bench::over(1, chain, Store::open(&path).await.unwrap());
    bench.now_ms += 5_000;
    let answer: VerdictResponse = body(&bench.ask(Ask::Verdict(request)).await);
    assert_eq!(answer.verdict.0.expiresAt, NOW + 900);
}

/// What stands in every file of a folder, one after the other.
fn bytes_below(dir: &std::path::Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.flat_map(|file| std::fs::read(file).unwrap()).collect()
}

/// With t = 1 the share is the key itself, so a single share that was kept open would give it away.
#[tokio::test]
async fn a_copied_database_holds_no_opened_share() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::on(&Site { t: 1, n: 1, ..SITE }, &Constraints::default(), |_| {});
    let store = Store::open(&dir.path().join("custodian.db")).await.unwrap();
    let mut bench = Bench::over(1, FakeChain::new(&world), store);
    let compute = Compute::new(0x20);
    let job = bench.run(&world, &compute).await;
    let reply = bench.ask(release(&job)).await;
    let answer: ReleaseResponse = body(&reply);
    let key = DatasetKey::import(&mut [0xdd; 32]);
    let terms = ReleaseTerms {
        recipient: compute.recipient.public(),
        runtime_data_hash: job.runtimeDataHash,
        domain: ReleaseDomain::Simulated,
    };
    let envelope = envelope_of(&world);
    let share = open_released(&answer.share, &compute.recipient, &envelope, &terms);
    let combined = combine(&envelope, &[share.unwrap_or_else(|e| panic!("{e}"))]);
    assert_eq!(
        combined.unwrap_or_else(|e| panic!("{e}")).commitment(&world.job.datasetUid),
        key.commitment(&world.job.datasetUid),
        "this share alone is the key"
    );
    let Reply::Json(sealed) = reply else { unreachable!("it has a body") };
    let while_open = bytes_below(dir.path());
    bench.store.close().await;
    for copied in [while_open, bytes_below(dir.path())] {
        let stored = copied.windows(sealed.len()).any(|window| window == &sealed[..]);
        assert!(stored, "what was released is there, sealed to compute");
        assert!(!key.appears_in(&copied));
    }
}

/// Whoever runs the custodian's disk puts an old state back to get one nonce accepted for two machines. It
/// gets a verdict for each; the chain starts one of them, and no other key gets a share.
#[tokio::test]
async fn a_database_that_is_put_back_gives_no_second_key() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("custodian.db"), dir.path().join("copy"));
    let world = World::new();
    let chain = FakeChain::new(&world);
    let mut bench = Bench::over(1, chain.clone(), Store::open(&path).await.unwrap());
    let nonce = bench.nonce(&world).await;
    bench.store.close().await;
    std::fs::copy(&path, &copy).unwrap();
    let (first, thief) = (Compute::new(0x20), Compute::new(0x21));
    for compute in [&first, &thief] {
        std::fs::copy(&copy, &path).unwrap();
        bench = Bench::over(1, chain.clone(), Store::open(&path).await.unwrap());
        let request = compute.request(&world, &compute.data(&world, nonce));
        assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 200);
        bench.store.close().await;
    }
    bench = Bench::over(1, chain.clone(), Store::open(&path).await.unwrap());
    let [started, stolen] = [&first, &thief].map(|compute| world.running(&compute.data(&world, nonce)));
    chain.say(|said| (said.state, said.job) = (Some(JobState::Running), started.clone()));
    assert_eq!(status(&bench.ask(release(&stolen)).await), 425, "this key did not start");
    assert_eq!(status(&bench.ask(release(&started)).await), 403, "its verdict was forgotten");
    assert!(bench.machine.last_counted().contains("no verdict"));
    assert_eq!(bench.store.release(world.job.jobId, 1, "share").await.unwrap(), None);
}

#[tokio::test]
async fn a_request_that_waits_too_long_ends() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let (id, mut effects) = (RequestId(7), Vec::new());
    let ask = Box::new(Ask::Result { job_id: world.job.jobId });
    let asked = Event::Asked { id, caller: PEER, fresh: B256::ZERO, body_hash: B256::ZERO, ask };
    bench.machine.step(0, asked, &mut effects);
    let due = 50_000;
    effects.clear();
    bench.machine.step(due - 1, Event::Tick, &mut effects);
    assert!(effects.is_empty());
    bench.machine.step(due, Event::Tick, &mut effects);
    assert!(matches!(&effects[..], [(_, Effect::Reply(reply))] if status(reply) == 503));
    assert!(bench.machine.deadline() > due, "only the next look at the clock is left");
    effects.clear();
    let late = Event::Answered(id, Box::new(Answer::Wrote(Wrote::Done)));
    bench.machine.step(due, late, &mut effects);
    assert!(effects.is_empty(), "an answer that comes too late changes nothing");
}

/// A stored verdict of custodian 1, and the job as running with it.
fn prepared() -> (World, Bytes, Job) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        let mut bench = Bench::new(&world).await;
        let job = bench.run(&world, &Compute::new(0x20)).await;
        let (_, case) = bench.store.records("verdict").await.unwrap().remove(0);
        (world, case, job)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the shell answers, and whatever the chain's proof is about: a share leaves only for
    /// a proof that the asked job runs with the judged keys, in time, under a live entry.
    #[test]
    fn no_share_leaves_unless_the_chain_says_running(
        answers in proptest::collection::vec(0usize..9, 1..8),
        field in 0usize..8,
        live in any::<bool>(),
        late in any::<bool>(),
    ) {
        let (world, case, job) = &*PREPARED;
        let mut machine = Machine::new(settings(1));
        let mut proven = job.clone();
        match field {
            0 => proven.signer = Address::ZERO,
            1 => proven.runtimeDataHash = B256::ZERO,
            2 => proven.attempt = 2,
            3 => proven.jobId = B256::ZERO,
            4 => proven.datasetUid = B256::ZERO,
            5 => proven = as_granted(job),
            _ => {}
        }
        let now = if late { job.runDeadline - 10 } else { NOW };
        let run = ConfirmedRun::from_chain(DOMAIN, proven, 7, now);
        let facts = RunFacts { run, custodian_set: world.set.clone(), entry_live: live };
        let loaded = |case: Option<Bytes>| {
            Answer::Loaded(Loaded::Release { case, made: None, tombstone: false, silent: false })
        };
        let (id, mut effects) = (RequestId(1), Vec::new());
        let ask = Box::new(release(job));
        let asked = Event::Asked { id, caller: PEER, fresh: B256::ZERO, body_hash: B256::ZERO, ask };
        machine.step(NOW * 1000, asked, &mut effects);
        let mut proof_given = false;
        for answer in answers {
            let answer = match answer {
                0 | 1 => loaded(Some(case.clone())),
                2 => loaded(None),
                3 => { proof_given = true; Answer::Read(Reading::Run(Some(Box::new(facts.clone())))) }
                4 => { proof_given = true; Answer::Read(Reading::Run(Some(Box::new(facts.clone())))) }
                5 => Answer::Read(Reading::Run(None)),
                6 => Answer::Read(Reading::State(Some(JobState::Running))),
                7 => Answer::Wrote(Wrote::Done),
                _ => Answer::Read(Reading::Wallet(true)),
            };
            effects.clear();
            machine.step(NOW * 1000, Event::Answered(id, Box::new(answer)), &mut effects);
            for (_, effect) in &effects {
                let leaves = match effect {
                    Effect::Write(write) => matches!(**write, Write::Release { .. }),
                    Effect::Reply(Reply::Json(_)) => true,
                    _ => false,
                };
                prop_assert!(!leaves || (proof_given && field >= 6 && live && !late));
            }
        }
    }
}

static PREPARED: std::sync::LazyLock<(World, Bytes, Job)> = std::sync::LazyLock::new(prepared);
