//! Several contracts over one custodian: what one of them says is worth nothing at another, and what an owner
//! says about a dataset holds at all of them.

use licen_core::abi::{ResultKeyChange, Retire};

use super::*;

fn renamed(ask: &Ask, to: Domain) -> Ask {
    let mut ask = ask.clone();
    let named = match &mut ask {
        Ask::Challenge(request) => &mut request.contract,
        Ask::Verdict(request) => &mut request.contract,
        Ask::Release(request) => &mut request.contract,
        Ask::Deliver(DeliverRequest::Share { contract, .. } | DeliverRequest::Manifest { contract, .. }) => {
            contract
        }
        Ask::ResultKey(request) => &mut request.contract,
        Ask::Alive(request) => &mut request.contract,
        Ask::Silence { request, .. } => &mut request.contract,
        Ask::Result { .. } | Ask::Retire(_) => panic!("names no contract"),
    };
    *named = to.contract;
    ask
}

fn alive_of(world: &World, job: &Job, compute: &Compute) -> Ask {
    let signature = compute.signing.sign(&world.domain.digest(&alive(job, 1))).unwrap();
    Ask::Alive(AliveRequest {
        contract: world.domain.contract,
        job: AbiHex(job.clone()),
        seq: 1,
        signature: Bytes::copy_from_slice(signature.as_bytes()),
    })
}

fn silence_of(world: &World, job: &Job) -> Ask {
    let request = SilenceRequest { contract: world.domain.contract, job: AbiHex(job.clone()) };
    Ask::Silence { job_id: job.jobId, request }
}

fn release_of(world: &World, job: &Job) -> Ask {
    Ask::Release(ReleaseRequest { contract: world.domain.contract, job: AbiHex(job.clone()) })
}

fn new_key(world: &World, job: &Job) -> Ask {
    let change = ResultKeyChange { jobId: job.jobId, newKey: recipient(0x79).public().0, nonce: 1 };
    let signature = signing(0x77).sign(&world.domain.digest(&change)).unwrap();
    Ask::ResultKey(ResultKeyRequest {
        contract: world.domain.contract,
        job: AbiHex(job.clone()),
        change: AbiHex(change),
        signature: Bytes::copy_from_slice(signature.as_bytes()),
    })
}

/// Every question of a job's life, in order.
fn questions(world: &World, compute: &Compute, nonce: B256) -> Vec<Ask> {
    let data = compute.data(world, nonce);
    let job = world.running(&data);
    let finished = Finished::on(world.domain, &job, 2, 3);
    let held = vec![finished.held_by(&job, 1), finished.held_by(&job, 2)];
    vec![
        Ask::Challenge(world.challenge()),
        Ask::Verdict(compute.request(world, &data)),
        release_of(world, &job),
        alive_of(world, &job, compute),
        silence_of(world, &job),
        Ask::Deliver(finished.delivery(&job, compute, 1)),
        finished.sealed(&finished.manifest(&job), &compute.signing, held),
        new_key(world, &job),
    ]
}

#[tokio::test]
async fn a_contract_that_is_not_served_gets_a_clear_no_and_nothing_else() {
    let world = World::new().also_at(FOREIGN);
    let mut bench = Bench::new(&world).await;
    for ask in questions(&world, &Compute::new(0x20), B256::ZERO) {
        let untouched = |effect: &Effect| {
            assert!(matches!(effect, Effect::Reply(_)), "{effect:?}");
            false
        };
        let reply = bench.ask_until(ask, untouched).await.unwrap();
        let (code, why) = problem(&reply);
        assert!(code == 409 && why.contains("does not serve contract 0x0707"), "{why}");
    }
    assert_eq!(bench.store.audit_head().await.unwrap(), None, "strangers leave nothing");
}

/// The job lives at the second contract, and so do its records. Named under the first one it is nobody's.
#[tokio::test]
async fn what_one_contract_says_satisfies_no_request_about_another() {
    let world = World::new().also_at(SECOND);
    let mut bench = Bench::new(&world).await;
    let compute = Compute::new(0x20);
    let nonce = bench.nonce(&world).await;
    let data = compute.data(&world, nonce);
    let job = world.running(&data);
    let finished = Finished::on(SECOND, &job, 2, 3);
    bench.put(&finished.blobs());
    let held = vec![finished.held_by(&job, 1), finished.held_by(&job, 2)];
    let manifest = finished.sealed(&finished.manifest(&job), &compute.signing, held);
    let delivery = Ask::Deliver(finished.delivery(&job, &compute, 1));
    let running = [
        (release_of(&world, &job), 425),
        (alive_of(&world, &job, &compute), 425),
        (silence_of(&world, &job), 425),
        (delivery.clone(), 425),
    ];
    let wrong = bench.ask(renamed(&Ask::Challenge(world.challenge()), DOMAIN)).await;
    assert_eq!(status(&wrong), 425, "the first contract knows no such job");
    let verdict = Ask::Verdict(compute.request(&world, &data));
    assert_eq!(status(&bench.ask(verdict).await), 200);
    bench.chain.say(|said| (said.state, said.job) = (Some(JobState::Running), job.clone()));
    for (ask, expected) in running {
        assert_eq!(status(&bench.ask(renamed(&ask, DOMAIN)).await), expected, "{ask:?}");
    }
    assert_eq!(status(&bench.ask(release_of(&world, &job)).await), 200);
    assert_eq!(status(&bench.ask(delivery.clone()).await), 200);
    for ask in [delivery, manifest.clone(), new_key(&world, &job)] {
        let reply = bench.ask(renamed(&ask, DOMAIN)).await;
        let (code, why) = problem(&reply);
        assert!(code == 409 && why.contains("the job is one of contract 0x0808"), "{why}");
    }
    assert_eq!(status(&bench.ask(manifest).await), 204);
    // Paid at the second contract, not at the first.
    let paid = finished.manifest(&job);
    bench.chain.say(|said| {
        (said.domain, said.state, said.settled) = (DOMAIN, Some(JobState::Completed), Some(paid));
    });
    let result = Ask::Result { job_id: job.jobId };
    assert_eq!(status(&bench.ask(result.clone()).await), 425);
    bench.chain.say(|said| said.domain = SECOND);
    assert_eq!(status(&bench.ask(result).await), 200);
}

#[tokio::test]
async fn a_word_of_silence_is_about_one_contract() {
    let world = World::new().also_at(SECOND);
    let mut bench = Bench::new(&world).await;
    let compute = Compute::new(0x20);
    let job = bench.run(&world, &compute).await;
    bench.pass(3_600);
    let said: SilenceResponse = body(&bench.ask(silence_of(&world, &job)).await);
    assert_eq!(SECOND.member_of(&said.silence.0, &said.signature.0), Some(signing(1).address()));
    for ask in [silence_of(&world, &job), alive_of(&world, &job, &compute)] {
        let reply = bench.ask(renamed(&ask, DOMAIN)).await;
        assert!(matches!(problem(&reply), (409, why) if why.contains("one of contract 0x0808")));
    }
}

/// A challenge for one contract opens no verdict at another: the runtime data name the contract.
#[tokio::test]
async fn a_verdict_asked_under_another_contract_is_denied() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let compute = Compute::new(0x20);
    let nonce = bench.nonce(&world).await;
    let request = compute.request(&world, &compute.data(&world, nonce));
    bench.chain.say(|said| said.domain = SECOND);
    let reply = bench.ask(renamed(&Ask::Verdict(request), SECOND)).await;
    assert_eq!(status(&reply), 403);
    assert!(bench.reasons().await[0].contains("another contract"), "{:?}", bench.reasons().await);
}

/// A shell that reads the wrong contract is believed nothing.
#[tokio::test]
async fn a_proof_of_another_contract_releases_nothing() {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let job = bench.run(&world, &Compute::new(0x20)).await;
    let (id, mut effects) = (RequestId(1 << 64), Vec::new());
    let ask = Box::new(release_of(&world, &job));
    let asked = Event::Asked { id, caller: PEER, fresh: B256::ZERO, body_hash: B256::ZERO, ask };
    bench.machine.step(bench.now_ms, asked, &mut effects);
    let Effect::Load(load) = effects.remove(0).1 else { panic!("{effects:?}") };
    let loaded = ledger::load(&bench.store, &load).await;
    bench.machine.step(bench.now_ms, Event::Answered(id, Box::new(loaded)), &mut effects);
    assert!(matches!(&effects[..], [(_, Effect::Read(_))]), "{effects:?}");
    effects.clear();
    let run = ConfirmedRun::from_chain(SECOND, job, 7, NOW);
    let facts = RunFacts { run, custodian_set: world.set.clone(), entry_live: true };
    let answer = Answer::Read(Reading::Run(Some(Box::new(facts))));
    bench.machine.step(bench.now_ms, Event::Answered(id, Box::new(answer)), &mut effects);
    assert!(matches!(&effects[..], [(_, Effect::Reply(reply))] if status(reply) == 503), "{effects:?}");
}

/// One dataset at two contracts: the same envelope and ciphertext, and for each contract only custodians
/// whose configuration names it.
#[tokio::test]
async fn a_dataset_at_two_contracts_is_released_for_each_by_custodians_that_serve_it() {
    let first = World::new();
    let second = first.also_at(SECOND);
    assert_eq!((&first.envelope, &first.policy), (&second.envelope, &second.policy));
    let mut both = Bench::new(&first).await;
    let compute = Compute::new(0x20);
    for world in [&first, &second] {
        both.chain.grant(world);
        let job = both.run(world, &compute).await;
        assert_eq!(status(&both.ask(release_of(world, &job)).await), 200);
    }
    let identity = Identity { contracts: vec![DOMAIN.contract], ..identity(1) };
    let mut one = Bench::new(&first).await;
    one.machine = Machine::new(Settings { identity, ..settings(1) });
    let job = one.run(&first, &compute).await;
    assert_eq!(status(&one.ask(release_of(&first, &job)).await), 200);
    for ask in questions(&second, &compute, B256::ZERO) {
        let reply = one.ask(ask).await;
        assert!(matches!(problem(&reply), (409, why) if why.contains("does not serve contract 0x0808")));
    }
}

/// Somebody registers root and envelope of another's dataset at a contract that is served.
#[tokio::test]
async fn a_stranger_s_registration_of_the_same_envelope_elsewhere_opens_nothing() {
    let owner = World::new();
    let mut stranger = owner.also_at(SECOND);
    stranger.policy.owner = signing(0x66).address();
    stranger.policy.datasetUid = dataset_uid(SECOND.chain_id, stranger.policy.owner, stranger.policy.salt);
    stranger.job.owner = stranger.policy.owner;
    stranger.job.datasetUid = stranger.policy.datasetUid;
    stranger.job.policyHash = policy_hash(&stranger.policy);
    let mut bench = Bench::new(&stranger).await;
    let nonce = bench.nonce(&stranger).await;
    let compute = Compute::new(0x20);
    let request = compute.request(&stranger, &compute.data(&stranger, nonce));
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
    let reasons = bench.reasons().await;
    assert!(reasons[0].contains("the envelope has another datasetUid"), "{reasons:?}");
    // Under the owner's uid it is not the stranger's policy any more.
    stranger.policy.datasetUid = owner.policy.datasetUid;
    stranger.job.datasetUid = owner.job.datasetUid;
    stranger.job.policyHash = policy_hash(&stranger.policy);
    bench.chain.grant(&stranger);
    let nonce = bench.nonce(&stranger).await;
    let request = compute.request(&stranger, &compute.data(&stranger, nonce));
    assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
}

#[tokio::test]
async fn retired_once_refused_everywhere() {
    let site = Site { owner: signing(0x50).address(), ..SITE };
    let first = World::on(&site, &Constraints::default(), |_| {});
    let second = first.also_at(SECOND);
    let mut bench = Bench::new(&second).await;
    let compute = Compute::new(0x20);
    let running = bench.run(&second, &compute).await;
    // The owner names no contract, and ends the dataset once.
    let retire = Retire { datasetUid: first.job.datasetUid };
    let signature = signing(0x50).sign(&DOMAIN.chain().digest(&retire)).unwrap();
    let signature = Bytes::copy_from_slice(signature.as_bytes());
    let (owner, salt) = (first.job.owner, first.policy.salt);
    let request = RetireRequest { owner, salt, retire: AbiHex(retire), signature };
    bench.chain.grant(&first);
    let said: RefusalResponse = body(&bench.ask(Ask::Retire(request)).await);
    assert_eq!(DOMAIN.chain().signer_of(&said.refusal.0, &said.signature), Some(signing(1).address()));
    let under_a_contract = DOMAIN.signer_of(&said.refusal.0, &said.signature);
    assert_ne!(under_a_contract, Some(signing(1).address()), "it is about no contract");
    for world in [&first, &second] {
        bench.chain.grant(world);
        let nonce = bench.nonce(world).await;
        let request = compute.request(world, &compute.data(world, nonce));
        assert_eq!(status(&bench.ask(Ask::Verdict(request)).await), 403);
        assert!(bench.machine.last_counted().contains("is retired"));
    }
    bench.chain.say(|said| (said.state, said.job) = (Some(JobState::Running), running.clone()));
    assert_eq!(status(&bench.ask(release_of(&second, &running)).await), 403);
    assert!(bench.machine.last_counted().contains("is retired"), "a verdict was given, no share leaves");
}
