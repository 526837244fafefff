//! The end of a dataset, and keys that come and go.

use licen_core::abi::{RefusalStatement, Retire};

use super::*;

const SALT: B256 = B256::repeat_byte(0x5a);

fn world() -> World {
    let site = Site { owner: signing(0x50).address(), ..SITE };
    World::on(&site, &Constraints::default(), |_| {})
}

/// The end of the world's dataset, as `signer` asks for it.
fn retire(world: &World, signer: &SigningKey) -> RetireRequest {
    let retire = Retire { datasetUid: world.job.datasetUid };
    let signature = signer.sign(&DOMAIN.chain().digest(&retire)).unwrap();
    let signature = Bytes::copy_from_slice(signature.as_bytes());
    RetireRequest { owner: world.job.owner, salt: SALT, retire: AbiHex(retire), signature }
}

fn release(job: &Job) -> Ask {
    Ask::Release(ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()) })
}

#[tokio::test]
async fn the_owner_ends_a_dataset_once_and_for_ever() {
    let world = world();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let request = retire(&world, &signing(0x50));
    let first = bench.ask(Ask::Retire(request.clone())).await;
    let said: RefusalResponse = body(&first);
    let expected = RefusalStatement { datasetUid: world.job.datasetUid, refusedAt: NOW };
    assert_eq!(said.refusal.0, expected);
    assert_eq!(DOMAIN.chain().signer_of(&said.refusal.0, &said.signature), Some(signing(1).address()));
    assert_eq!(status(&bench.ask(release(&job)).await), 403, "a verdict was given, no share leaves");
    assert!(bench.machine.last_counted().contains("is retired"));
    bench.now_ms += 60_000;
    assert_eq!(bench.ask(Ask::Retire(request)).await, first, "the same word again, with its first time");
    assert_eq!(bench.store.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn nobody_else_ends_a_dataset() {
    let world = world();
    let mut bench = Bench::new(&world).await;
    let stranger = retire(&world, &signing(0x66));
    let reply = bench.ask(Ask::Retire(stranger.clone())).await;
    assert!(matches!(problem(&reply), (409, why) if why.contains("is not signed by")));
    // Who says to be the owner makes another uid.
    let own = RetireRequest { owner: signing(0x66).address(), ..stranger };
    let reply = bench.ask(Ask::Retire(own)).await;
    assert_eq!(problem(&reply), (400, "owner and salt make another datasetUid"));
    let mut signed_there = retire(&world, &signing(0x50));
    // Of another chain; under a deployment's domain, as the statements of version 1 were.
    let elsewhere = Domain { chain_id: 1, ..DOMAIN }.chain().digest(&signed_there.retire.0);
    for digest in [elsewhere, DOMAIN.digest(&signed_there.retire.0)] {
        let signature = signing(0x50).sign(&digest).unwrap();
        signed_there.signature = Bytes::copy_from_slice(signature.as_bytes());
        let reply = bench.ask(Ask::Retire(signed_there.clone())).await;
        assert!(matches!(problem(&reply), (409, why) if why.contains("is not signed by")));
    }
    assert_eq!(bench.store.tombstone(world.job.datasetUid).await.unwrap(), None);
    assert_eq!(bench.store.audit_head().await.unwrap(), None, "strangers leave nothing");
}

#[tokio::test]
async fn a_contract_wallet_ends_its_dataset_by_its_own_rule() {
    let world = world();
    let mut bench = Bench::new(&world).await;
    let by_rule = retire(&world, &signing(0x66));
    bench.chain.say(|said| said.wallet = true);
    assert_eq!(status(&bench.ask(Ask::Retire(by_rule)).await), 200);
}

#[tokio::test]
async fn a_dataset_that_nobody_registered_fills_no_disk() {
    let world = world();
    let mut bench = Bench::new(&world).await;
    let salt = B256::repeat_byte(0x77);
    let uid = dataset_uid(DOMAIN.chain_id, world.job.owner, salt);
    let made_up = Retire { datasetUid: uid };
    let signature = signing(0x50).sign(&DOMAIN.chain().digest(&made_up)).unwrap();
    let signature = Bytes::copy_from_slice(signature.as_bytes());
    let request = RetireRequest { owner: world.job.owner, salt, retire: AbiHex(made_up), signature };
    assert_eq!(status(&bench.ask(Ask::Retire(request)).await), 425);
    assert_eq!(bench.store.tombstone(uid).await.unwrap(), None);
}

#[tokio::test]
async fn a_release_that_was_decided_before_the_end_does_not_leave_after_it() {
    let world = world();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    // The share is decided on, and its write is on the way.
    let (id, mut effects) = (RequestId(1 << 64), Vec::new());
    let ask = Box::new(release(&job));
    let mut event = Event::Asked { id, caller: PEER, fresh: B256::ZERO, body_hash: B256::ZERO, ask };
    let write = loop {
        effects.clear();
        bench.machine.step(bench.now_ms, event, &mut effects);
        let answer = match effects.remove(0).1 {
            Effect::Load(load) => ledger::load(&bench.store, &load).await,
            Effect::Read(read) => Answer::Read(bench.chain.read(&read).await.unwrap()),
            Effect::Write(write) => break write,
            other => panic!("{other:?}"),
        };
        event = Event::Answered(id, Box::new(answer));
    };
    assert_eq!(status(&bench.ask(Ask::Retire(retire(&world, &signing(0x50)))).await), 200);
    let answer = ledger::write(&bench.store, bench.now_ms, &write).await;
    assert_eq!(answer, Answer::Retired(world.job.datasetUid));
    effects.clear();
    bench.machine.step(bench.now_ms, Event::Answered(id, Box::new(answer)), &mut effects);
    let leaves = |effect: &Effect| matches!(effect, Effect::Reply(Reply::Json(_)));
    assert!(!effects.iter().any(|(_, effect)| leaves(effect)), "{effects:?}");
    assert_eq!(bench.store.release(job.jobId, 1, "share").await.unwrap(), None);
}

/// A custodian whose newest key is another than the one this world's set names.
fn renewed(former: Vec<RecipientKey>) -> Settings {
    let identity = Identity { recipient: recipient(0x40), former, ..identity(1) };
    Settings { identity, ..settings(1) }
}

#[tokio::test]
async fn a_former_key_serves_what_was_sealed_to_it() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    bench.machine = Machine::new(renewed(vec![recipient(1)]));
    let compute = Compute::new(0x20);
    let job = bench.run(&world, &compute).await;
    assert_eq!(status(&bench.ask(release(&job)).await), 200);
    let finished = Finished::of(&job, 2);
    bench.put(&finished.blobs());
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
    let held = vec![finished.held_by(&job, 1), finished.held_by(&job, 2)];
    let manifest = finished.sealed(&finished.manifest(&job), &compute.signing, held);
    assert_eq!(status(&bench.ask(manifest).await), 204);
    bench.chain.say(|said| {
        (said.state, said.settled) = (Some(JobState::Completed), Some(finished.manifest(&job)));
    });
    assert_eq!(status(&bench.ask(Ask::Result { job_id: job.jobId }).await), 200);
}

#[tokio::test]
async fn without_the_key_that_the_set_names_there_is_no_verdict() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    bench.machine = Machine::new(renewed(Vec::new()));
    let nonce = bench.nonce(&world).await;
    let compute = Compute::new(0x20);
    let request = compute.request(&world, &compute.data(&world, nonce));
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    assert!(bench.reasons().await[0].contains("another HPKE key"), "{:?}", bench.reasons().await);
}
