//! A custodian that is killed after any effect of any request of a job, and asked again: no key twice to
//! different keys, one unbroken log, and the job goes on.

use std::cell::Cell;

use super::*;

/// Everything one custodian is asked in a job, in order; the chain follows.
struct Errand {
    world: World,
    compute: Compute,
    nonce: B256,
    job: Job,
    finished: Finished,
}

impl Errand {
    /// The questions after the challenge, and what the chain says before each.
    fn ask(&self, step: usize, chain: &FakeChain) -> Ask {
        let running = || chain.say(|s| (s.state, s.job) = (Some(JobState::Running), self.job.clone()));
        match step {
            0 => Ask::Verdict(self.compute.request(&self.world, &self.compute.data(&self.world, self.nonce))),
            1 => {
                running();
                Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(self.job.clone()) })
            }
            2 => Ask::Deliver(self.finished.delivery(&self.job, &self.compute, 1)),
            3 => {
                let held = vec![self.finished.held_by(&self.job, 1), self.finished.held_by(&self.job, 2)];
                self.finished.sealed(&self.finished.manifest(&self.job), &self.compute.signing, held)
            }
            _ => {
                let paid = Some(self.finished.manifest(&self.job));
                chain.say(|said| (said.state, said.settled) = (Some(JobState::Completed), paid));
                Ask::Result { job_id: self.job.jobId }
            }
        }
    }
}

const STEPS: usize = 5;

async fn begin(path: &std::path::Path) -> (Bench, Errand) {
    let world = World::new();
    let chain = FakeChain::new(&world);
    let mut bench = Bench::over(1, chain, Store::open(path).await.unwrap());
    let nonce = bench.nonce(&world).await;
    let compute = Compute::new(0x20);
    let job = world.running(&compute.data(&world, nonce));
    let finished = Finished::of(&job, 2);
    (bench, Errand { world, compute, nonce, job, finished })
}

/// Begins anew over the same records, as a process does.
async fn restarted(bench: Bench, path: &std::path::Path) -> Bench {
    let (chain, blobs, now_ms) = (bench.chain.clone(), bench.blobs.clone(), bench.now_ms);
    bench.store.close().await;
    let mut bench = Bench::over(1, chain, Store::open(path).await.unwrap());
    (bench.blobs, bench.now_ms) = (blobs, now_ms + 1_000);
    bench
}

/// Kills the custodian after effect `at` of question `step`; gives whether there was such an effect.
async fn killed(step: usize, at: usize) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custodian.db");
    let (mut bench, mut errand) = begin(&path).await;
    bench.put(&errand.finished.blobs());
    let mut reached = false;
    for question in 0..STEPS {
        let mut ask = errand.ask(question, &bench.chain.clone());
        if question == step {
            let seen = Cell::new(0);
            let cut = |_: &Effect| seen.replace(seen.get() + 1) == at;
            reached = bench.ask_until(ask, cut).await.is_none();
            bench = restarted(bench, &path).await;
            // A nonce dies with the request that used it up: compute asks for another.
            ask = errand.ask(question, &bench.chain.clone());
            let again = bench.ask(ask.clone()).await;
            if question == 0 && status(&again) == 403 {
                errand.nonce = bench.nonce(&errand.world).await;
                errand.job = errand.world.running(&errand.compute.data(&errand.world, errand.nonce));
                errand.finished = Finished::of(&errand.job, 2);
                bench.put(&errand.finished.blobs());
                ask = errand.ask(question, &bench.chain.clone());
            }
        }
        let reply = bench.ask(ask.clone()).await;
        assert!(status(&reply) < 300, "question {question}, killed at {step}/{at}: {reply:?}");
        assert_eq!(bench.ask(ask).await, reply, "the same bytes again");
    }
    assert_eq!(bench.store.verify_audit().await.unwrap(), None);
    let shares = bench.store.audit_entries(1, 100).await.unwrap();
    let released =
        shares.iter().filter(|e| String::from_utf8_lossy(&e.record).contains("\"event\":\"release\""));
    assert_eq!(released.count(), 1, "killed at {step}/{at}: one share, once");
    // Another key gets nothing, whatever was interrupted.
    let mut other = errand.job.clone();
    other.signer = signing(0x33).address();
    bench.chain.say(|said| (said.state, said.job) = (Some(JobState::Running), other.clone()));
    let stolen =
        bench.ask(Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(other) })).await;
    assert!(status(&stolen) >= 400, "{stolen:?}");
    reached
}

#[tokio::test]
async fn killed_after_any_effect_of_any_request_the_custodian_keeps_its_word() {
    for step in 0..STEPS {
        let mut at = 0;
        while killed(step, at).await {
            at += 1;
        }
        assert!(at >= 2, "question {step} has {at} effects");
    }
}
