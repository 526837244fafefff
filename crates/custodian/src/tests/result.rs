//! Paid and delivered, or neither.

use licen_core::abi::ResultKeyChange;
use licen_core::job::JobState;
use licen_seal::result::{ResultHeader, read_result};
use licen_seal::result_share::{combine_result, open_result_release};

use super::*;

/// Custodians 1 and 2 hold the result of one job.
async fn held() -> (Vec<Bench>, FakeChain, Job, Finished) {
    let world = World::new();
    let compute = Compute::new(0x20);
    let chain = FakeChain::new(&world);
    let data = compute.data(&world, B256::ZERO);
    let job = world.running(&data);
    chain.say(|said| (said.state, said.job) = (Some(JobState::Running), job.clone()));
    let finished = Finished::of(&job, 2);
    let mut benches = Vec::new();
    for n in [1, 2] {
        let mut bench = Bench::over(n, chain.clone(), Store::in_memory().await.unwrap());
        bench.put(&finished.blobs());
        // This custodian gave no verdict (it was down then); it still holds its share.
        let reply = bench.ask(Ask::Deliver(finished.delivery(&job, &compute, n))).await;
        assert_eq!(status(&reply), 200, "{reply:?}");
        benches.push(bench);
    }
    (benches, chain, job, finished)
}

fn settle(chain: &FakeChain, manifest: ResultManifest) {
    chain.say(|said| (said.state, said.settled) = (Some(JobState::Completed), Some(manifest)));
}

#[tokio::test]
async fn the_researcher_gets_the_result_key_when_the_owner_is_paid() {
    let (mut benches, chain, job, finished) = held().await;
    let ask = || Ask::Result { job_id: job.jobId };
    assert_eq!(status(&benches[0].ask(ask()).await), 425, "not paid yet");
    settle(&chain, finished.manifest(&job));
    let mut source = &finished.blob[..];
    let header = ResultHeader::read_from(&mut source).unwrap();
    let mut shares = Vec::new();
    for bench in &mut benches {
        let first = bench.ask(ask()).await;
        assert_eq!(bench.ask(ask()).await, first, "a retry gets the same bytes");
        let answer: ResultShareResponse = body(&first);
        assert_eq!((answer.result_hash, answer.result_key), (root(&finished.blob), job.resultKey));
        let opened = open_result_release(&answer.share, &recipient(0x78), &header, &answer.result_hash);
        shares.push(opened.unwrap_or_else(|e| panic!("{e}")));
    }
    let key = combine_result(&header, &shares).unwrap_or_else(|e| panic!("{e}"));
    assert!(read_result(&key, &header, source).is_ok());
}

#[tokio::test]
async fn a_settlement_of_another_result_frees_nothing() {
    let (mut benches, chain, job, finished) = held().await;
    let (good, other) = (finished.manifest(&job), B256::repeat_byte(0xee));
    for paid in [
        ResultManifest { resultHash: other, ..good.clone() },
        ResultManifest { baseModelRoot: other, ..good.clone() },
        ResultManifest { adapterRoot: other, ..good.clone() },
        ResultManifest { attestationRef: other, ..good.clone() },
        ResultManifest { reportHash: other, ..good.clone() },
        ResultManifest { attempt: 2, ..good.clone() },
        ResultManifest { jobId: other, ..good.clone() },
    ] {
        settle(&chain, paid.clone());
        assert_eq!(status(&benches[0].ask(Ask::Result { job_id: job.jobId }).await), 425, "{paid:?}");
    }
    // The state alone says nothing of the result.
    chain.say(|said| said.settled = None);
    assert_eq!(status(&benches[0].ask(Ask::Result { job_id: job.jobId }).await), 425);
    let unknown = Ask::Result { job_id: B256::ZERO };
    assert_eq!(status(&benches[0].ask(unknown).await), 404);
}

fn change(job: &Job, nonce: u64, key: B256, signer: &SigningKey) -> Ask {
    let change = ResultKeyChange { jobId: job.jobId, newKey: key, nonce };
    let signature = signer.sign(&DOMAIN.digest(&change)).unwrap();
    Ask::ResultKey(ResultKeyRequest {
        contract: DOMAIN.contract,
        job: AbiHex(job.clone()),
        change: AbiHex(change),
        signature: Bytes::copy_from_slice(signature.as_bytes()),
    })
}

#[tokio::test]
async fn a_lost_result_key_is_replaced_by_the_requester_s_wallet_only() {
    let (mut benches, chain, job, finished) = held().await;
    settle(&chain, finished.manifest(&job));
    let bench = &mut benches[0];
    let new = recipient(0x79).public().0;
    let thief = change(&job, 1, recipient(0x7a).public().0, &signing(0x7a));
    let reply = bench.ask(thief).await;
    assert!(matches!(problem(&reply), (409, why) if why.contains("the new key is not signed by")));
    assert_eq!(bench.ask(change(&job, 5, new, &signing(0x77))).await, Reply::Done);
    let answer: ResultShareResponse = body(&bench.ask(Ask::Result { job_id: job.jobId }).await);
    assert_eq!(answer.result_key, new);
    let header = ResultHeader::read_from(&mut &finished.blob[..]).unwrap();
    assert!(open_result_release(&answer.share, &recipient(0x79), &header, &answer.result_hash).is_ok());
    assert!(open_result_release(&answer.share, &recipient(0x78), &header, &answer.result_hash).is_err());
}

#[tokio::test]
async fn an_old_change_does_not_bring_an_old_key_back() {
    let (mut benches, _, job, _) = held().await;
    let bench = &mut benches[0];
    let (a, b) = (recipient(0x79).public().0, recipient(0x7a).public().0);
    assert_eq!(bench.ask(change(&job, 1, a, &signing(0x77))).await, Reply::Done);
    assert_eq!(bench.ask(change(&job, 2, b, &signing(0x77))).await, Reply::Done);
    assert_eq!(bench.ask(change(&job, 2, b, &signing(0x77))).await, Reply::Done);
    for nonce in [1, 2] {
        let reply = bench.ask(change(&job, nonce, a, &signing(0x77))).await;
        let (code, why) = problem(&reply);
        assert!(code == 409 && why.contains(&format!("the nonce {nonce} is not above 2")), "{why}");
    }
}

#[tokio::test]
async fn a_contract_wallet_replaces_its_key_by_its_own_rule() {
    let (mut benches, chain, job, _) = held().await;
    chain.say(|said| said.wallet = true);
    let by_wallet = change(&job, 1, recipient(0x79).public().0, &signing(0x7b));
    assert_eq!(benches[0].ask(by_wallet).await, Reply::Done);
}

#[tokio::test]
async fn a_change_for_an_invented_job_is_refused() {
    let (mut benches, _, job, _) = held().await;
    let requester = signing(0x7b).address();
    let invented = Job { requester, ..job.clone() };
    let ask = change(&invented, 1, recipient(0x79).public().0, &signing(0x7b));
    let reply = benches[0].ask(ask).await;
    assert!(matches!(problem(&reply), (409, why) if why.contains("not the one the contract committed to")));
    let Ask::ResultKey(mut request) = change(&job, 1, B256::ZERO, &signing(0x77)) else { return };
    assert_eq!(status(&benches[0].ask(Ask::ResultKey(request.clone())).await), 400);
    request.change.0.jobId = B256::ZERO;
    assert_eq!(status(&benches[0].ask(Ask::ResultKey(request)).await), 400);
}
