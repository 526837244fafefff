//! Signs of life, and calling compute silent. Each attack is a test, named after it.

use licen_core::abi::Silence;
use licen_core::job::JobState;

use super::*;
use crate::machine::Machine;

pub(super) fn sign_of_life(job: &Job, compute: &Compute, seq: u64) -> Ask {
    let signature = compute.signing.sign(&DOMAIN.digest(&alive(job, seq))).unwrap();
    let signature = Bytes::copy_from_slice(signature.as_bytes());
    Ask::Alive(AliveRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()), seq, signature })
}

pub(super) fn silence_of(job: &Job) -> Ask {
    Ask::Silence {
        job_id: job.jobId,
        request: SilenceRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()) },
    }
}

pub(super) async fn running() -> (World, Bench, Compute, Job) {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let compute = Compute::new(0x20);
    let job = bench.run(&world, &compute).await;
    (world, bench, compute, job)
}

fn finish(bench: &mut Bench, job: &Job) -> Finished {
    let finished = Finished::of(job, 2);
    bench.put(&finished.blobs());
    finished
}

async fn events(bench: &Bench) -> Vec<String> {
    let entries = bench.store.audit_entries(1, 100).await.unwrap();
    let event = |entry: &licen_store::AuditEntry| {
        let line: serde_json::Value = serde_json::from_slice(&entry.record).unwrap();
        line["event"].as_str().unwrap().to_owned()
    };
    entries.iter().map(event).collect()
}

#[tokio::test]
async fn compute_that_says_nothing_for_ten_minutes_is_called_silent() {
    let (_, mut bench, compute, job) = running().await;
    assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, 0)).await), 204);
    bench.pass(599);
    let early = bench.ask(silence_of(&job)).await;
    assert_eq!(status(&early), 425, "{early:?}");
    bench.pass(1);
    let said = bench.ask(silence_of(&job)).await;
    let answer: SilenceResponse = body(&said);
    assert_eq!(answer.silence.0, Silence { jobId: job.jobId, attempt: 1 });
    assert_eq!(DOMAIN.member_of(&answer.silence.0, &answer.signature.0), Some(signing(1).address()));
    assert_eq!(answer.signature.0.index, 0);
    bench.pass(60);
    assert_eq!(bench.ask(silence_of(&job)).await, said, "the same bytes again");
    assert_eq!(events(&bench).await, ["verdict", "silence"]);
}

#[tokio::test]
async fn compute_that_is_heard_is_not_called_silent() {
    let (_, mut bench, compute, job) = running().await;
    for seq in 0..15 {
        bench.pass(60);
        assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, seq)).await), 204);
        assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
    }
    let heard = bench.store.heard(job.jobId, 1).await.unwrap().unwrap();
    assert_eq!((heard.seq, heard.at_ms), (14, bench.now_ms));
}

/// The host that carried compute's words says them again, to hide that compute is gone.
#[tokio::test]
async fn a_replayed_sign_of_life_is_no_sign_of_life() {
    let (_, mut bench, compute, job) = running().await;
    let first = sign_of_life(&job, &compute, 3);
    assert_eq!(status(&bench.ask(first.clone()).await), 204);
    bench.pass(600);
    // Over a restart, too.
    for _ in 0..2 {
        for replayed in [first.clone(), sign_of_life(&job, &compute, 2)] {
            assert_eq!(status(&bench.ask(replayed).await), 409);
        }
        bench.machine = Machine::new(settings(1));
        bench.pass(620);
    }
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
}

#[tokio::test]
async fn a_stranger_keeps_nobody_alive_and_writes_nothing() {
    let (_, mut bench, compute, job) = running().await;
    bench.pass(540);
    let stranger = Compute::new(0x21);
    assert_eq!(status(&bench.ask(sign_of_life(&job, &stranger, 9)).await), 409);
    let other = Job { attempt: 2, ..job.clone() };
    assert_eq!(status(&bench.ask(sign_of_life(&other, &compute, 9)).await), 425);
    let Ask::Alive(mut moved) = sign_of_life(&job, &compute, 9) else { panic!() };
    moved.seq = 10;
    assert_eq!(status(&bench.ask(Ask::Alive(moved)).await), 409);
    assert_eq!(bench.store.records("alive").await.unwrap(), []);
    bench.pass(60);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
}

#[tokio::test]
async fn a_custodian_that_was_down_itself_calls_nobody_silent() {
    let (_, mut bench, compute, job) = running().await;
    assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, 0)).await), 204);
    bench.now_ms += 3_000_000;
    bench.machine = Machine::new(settings(1));
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
    bench.pass(300);
    // Stopped and continued, or its clock was put forward.
    bench.now_ms += 3_000_000;
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
    bench.pass(599);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
    bench.pass(1);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
}

/// Whoever drowns compute's words, or takes the chain away, gains no statement of silence.
#[tokio::test]
async fn a_custodian_that_could_not_hear_calls_nobody_silent() {
    let (_, mut bench, compute, job) = running().await;
    bench.pass(590);
    bench.chain.say(|said| said.down = true);
    assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, 0)).await), 503);
    bench.chain.say(|said| said.down = false);
    bench.pass(20);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
    bench.pass(570);
    bench.machine.step(bench.now_ms, Event::Deaf, &mut Vec::new());
    bench.pass(20);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
    bench.pass(580);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
}

#[tokio::test]
async fn a_flood_of_requests_makes_nobody_silent() {
    let (_, mut bench, _, job) = running().await;
    bench.machine =
        Machine::new(Settings { rates: Rates { per_peer: 1_000, per_job: 1_000, total: 30 }, ..settings(1) });
    bench.pass(599);
    while status(&bench.ask(silence_of(&job)).await) != 429 {}
    bench.pass(20);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
}

#[tokio::test]
async fn only_a_member_of_the_pinned_set_says_silence() {
    let (_, mut bench, compute, job) = running().await;
    bench.pass(1_000);
    let set = bench.chain.0.lock().unwrap().set.clone();
    bench.chain.say(|said| {
        said.verifier_set = Some(said.set.clone());
        said.set.members.remove(0);
    });
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 409);
    assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, 1)).await), 409);
    bench.chain.say(|said| said.set = set);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
}

#[tokio::test]
async fn a_job_that_does_not_run_so_is_not_silent() {
    let (_, mut bench, _, job) = running().await;
    bench.pass(1_000);
    for other in [Job { attempt: 2, ..job.clone() }, Job { signer: Address::ZERO, ..job.clone() }] {
        assert_eq!(status(&bench.ask(silence_of(&other)).await), 425);
    }
    let ask = Ask::Silence {
        job_id: B256::ZERO,
        request: SilenceRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()) },
    };
    assert_eq!(status(&bench.ask(ask).await), 400);
    bench.chain.say(|said| said.state = Some(JobState::Completed));
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
}

#[tokio::test]
async fn an_attempt_that_was_called_silent_is_never_held() {
    let (_, mut bench, compute, job) = running().await;
    let finished = finish(&mut bench, &job);
    bench.pass(1_000);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
    let refused = [
        bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await,
        bench.ask(sign_of_life(&job, &compute, 1)).await,
    ];
    for reply in refused {
        let Reply::Problem(problem) = reply else { panic!("{reply:?}") };
        assert!(problem.status == 409 && problem.detail.contains("called the attempt silent"), "{problem}");
    }
    assert_eq!(
        status(
            &bench
                .ask(Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()) }))
                .await
        ),
        403
    );
    assert_eq!(bench.store.held(job.jobId).await.unwrap(), None);
}

#[tokio::test]
async fn an_attempt_that_is_held_is_never_called_silent() {
    let (_, mut bench, compute, job) = running().await;
    let finished = finish(&mut bench, &job);
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
    bench.pass(3_000);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 409);
    assert_eq!(bench.store.silence(job.jobId, 1).await.unwrap(), None);
}

/// Both have been decided on, and neither is written: the one that comes to disk first is the only one,
/// whether or not the custodian lived to send it.
#[tokio::test]
async fn a_crash_between_deciding_and_answering_makes_no_two_promises() {
    for silence_first in [true, false] {
        let (_, mut bench, compute, job) = running().await;
        let finished = finish(&mut bench, &job);
        bench.pass(1_000);
        let deliver = Ask::Deliver(finished.delivery(&job, &compute, 1));
        let (first, second) =
            if silence_first { (silence_of(&job), deliver) } else { (deliver, silence_of(&job)) };
        let cut = |effect: &Effect| {
            matches!(effect, Effect::Write(write)
                if matches!(**write, crate::effect::Write::Silence { .. } | crate::effect::Write::Held { .. }))
        };
        assert_eq!(bench.ask_until(first.clone(), cut).await, None, "it died before it answered");
        bench.machine = Machine::new(settings(1));
        bench.pass(1_000);
        assert_eq!(status(&bench.ask(second).await), 409);
        assert_eq!(status(&bench.ask(first).await), 200);
        let held = bench.store.held(job.jobId).await.unwrap().is_some();
        let silent = bench.store.silence(job.jobId, 1).await.unwrap().is_some();
        assert_eq!((silent, held), (silence_first, !silence_first));
    }
}

/// The result is being fetched while anybody asks: that is no silence, and if it were called one the
/// write would lose.
#[tokio::test]
async fn a_delivery_under_way_is_a_sign_of_life() {
    let (_, mut bench, compute, job) = running().await;
    let finished = finish(&mut bench, &job);
    bench.pass(1_000);
    let deliver = Ask::Deliver(finished.delivery(&job, &compute, 1));
    assert_eq!(bench.ask_until(deliver, |effect| matches!(effect, Effect::Fetch(_))).await, None);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
}

/// A request for a verdict about the attempt after the one that runs.
async fn next_verdict(bench: &mut Bench, world: &World, job: &Job, n: u8) -> Result<VerdictRequest, Reply> {
    let attempt = job.attempt + 1;
    let challenge = ChallengeRequest { attempt, ..world.challenge() };
    let reply = bench.ask(Ask::Challenge(challenge)).await;
    let Reply::Json(_) = reply else { return Err(reply) };
    let answer: ChallengeResponse = body(&reply);
    let compute = Compute::new(n);
    let data = RuntimeData { attempt, ..compute.data(world, answer.nonce) };
    Ok(VerdictRequest { job: AbiHex(job.clone()), ..compute.request(world, &data) })
}

#[tokio::test]
async fn a_silent_attempt_gets_a_successor_and_is_never_held() {
    let (world, mut bench, compute, job) = running().await;
    let finished = finish(&mut bench, &job);
    bench.pass(700);
    let request = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap();
    let answer: VerdictResponse = body(&bench.ask(Ask::Verdict(request.clone())).await);
    let verdict = &answer.verdict.0;
    assert_eq!((verdict.attempt, verdict.signer), (2, Compute::new(0x30).signing.address()));
    assert_eq!(DOMAIN.member_of(verdict, &answer.signature.0), Some(signing(1).address()));
    assert_eq!(events(&bench).await, ["verdict", "silence", "verdict"]);
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 409);
    // The statement is there for whoever asks, and it is the first one.
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
    assert_eq!(bench.store.audit_entries(1, 10).await.unwrap().len(), 3);
    // Only what the chain records is released.
    let hash = runtime_data::hash(&request.runtime_data);
    let second = started(&world.job, 2, verdict.signer, hash, job.runDeadline);
    let ask =
        |job: &Job| Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()) });
    assert_eq!(status(&bench.ask(ask(&second)).await), 425, "not restarted yet");
    bench.chain.say(|said| said.job = second.clone());
    assert_eq!(status(&bench.ask(ask(&second)).await), 200);
    assert_eq!(status(&bench.ask(ask(&job)).await), 403);
    assert_eq!(status(&bench.ask(silence_of(&second)).await), 425, "the new attempt has its own time");
}

/// The operator starts another compute to void what the first one is about to finish.
#[tokio::test]
async fn a_living_attempt_gets_no_successor() {
    let (world, mut bench, compute, job) = running().await;
    bench.pass(700);
    assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, 1)).await), 204);
    let refused = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap_err();
    assert_eq!(status(&refused), 425, "no nonce is spent on it");
    bench.pass(590);
    let challenge = ChallengeRequest { attempt: 2, ..world.challenge() };
    assert_eq!(status(&bench.ask(Ask::Challenge(challenge)).await), 425);
    // A nonce from before the last sign of life does not help either.
    bench.pass(10);
    let request = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap();
    assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, 2)).await), 204);
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 425);
    assert_eq!(bench.store.silence(job.jobId, 1).await.unwrap(), None);
    assert_eq!(events(&bench).await, ["verdict"]);
}

#[tokio::test]
async fn a_finished_attempt_gets_no_successor() {
    let (world, mut bench, compute, job) = running().await;
    let finished = finish(&mut bench, &job);
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
    bench.pass(3_000);
    let request = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap();
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    assert!(bench.reasons().await.iter().any(|reason| reason.contains("holds the result")));
    assert_eq!(bench.store.silence(job.jobId, 1).await.unwrap(), None);
}

#[tokio::test]
async fn a_successor_that_does_not_follow_is_refused() {
    let (world, mut bench, _, job) = running().await;
    bench.pass(700);
    let ahead = Job { attempt: 2, ..job.clone() };
    let mut request = next_verdict(&mut bench, &world, &ahead, 0x30).await.unwrap();
    assert_eq!(request.attempt, 3, "of which nobody started the second");
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    let granted = world.job.clone();
    request = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap();
    request.job = AbiHex(granted);
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    for attempt in [0, 4] {
        let challenge = ChallengeRequest { attempt, ..world.challenge() };
        let reply = bench.ask(Ask::Challenge(challenge)).await;
        assert_eq!(problem(&reply), (400, "attempt is not 1, 2 or 3"));
    }
    let late = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap();
    bench.chain.say(|said| said.now = said.job.runDeadline + 1);
    assert_eq!(status(&bench.ask(Ask::Verdict(late)).await), 403);
    let expected = ["not the one the contract committed to", "another attempt", "the run deadline"];
    let reasons = bench.reasons().await;
    assert!(reasons.len() == 3 && reasons.iter().zip(expected).all(|(r, e)| r.contains(e)), "{reasons:?}");
    bench.chain.say(|said| said.now = NOW + 700);
    let challenge = ChallengeRequest { attempt: 2, ..world.challenge() };
    bench.chain.say(|said| said.state = Some(JobState::Granted));
    assert_ne!(status(&bench.ask(Ask::Challenge(challenge)).await), 200, "nothing runs yet");
    assert_eq!(bench.store.silence(job.jobId, 1).await.unwrap(), None);
}

/// Between the statement and the verdict the custodian dies: the attempt is silent, and asking again
/// gives the verdict.
#[tokio::test]
async fn a_crash_between_silence_and_verdict_keeps_the_word() {
    let (world, mut bench, compute, job) = running().await;
    let finished = finish(&mut bench, &job);
    bench.pass(700);
    let request = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap();
    let cut = |effect: &Effect| matches!(effect, Effect::Write(write) if matches!(**write, crate::effect::Write::Silence { .. }));
    assert_eq!(bench.ask_until(Ask::Verdict(request), cut).await, None);
    bench.machine = Machine::new(settings(1));
    bench.pass(60);
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 409);
    assert_eq!(bench.store.release(job.jobId, 2, "verdict").await.unwrap(), None);
    let request = next_verdict(&mut bench, &world, &job, 0x31).await.unwrap();
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 200, "what was said stays said");
}

/// The requester's own custodian hears no signs of life, so it says nothing about them; another version of
/// the owner's set is another set.
#[tokio::test]
async fn a_member_of_the_verifier_set_judges_a_successor_and_calls_nobody_silent() {
    for (set, version) in [(B256::repeat_byte(0xee), 1), (SITE.custodian_set, 2)] {
        let mut world = World::new();
        (world.job.verifierSet, world.job.verifierSetVersion) = (set, version);
        let mut bench = Bench::new(&world).await;
        let both = bench.chain.0.lock().unwrap().set.clone();
        bench.chain.say(|said| {
            said.verifier_set = Some(both);
            said.set.members.remove(0);
        });
        let job = bench.run(&world, &Compute::new(0x20)).await;
        let request = next_verdict(&mut bench, &world, &job, 0x30).await.unwrap();
        let answer: VerdictResponse = body(&bench.ask(Ask::Verdict(request)).await);
        assert_eq!((answer.verdict.0.custodianSet, answer.verdict.0.setVersion), (set, version));
        assert_eq!(answer.verdict.0.attempt, 2);
        assert_eq!(bench.store.silence(job.jobId, 1).await.unwrap(), None);
    }
}
