//! Deliveries: what a custodian takes, and what it signs.

use licen_core::job::JobState;

use super::*;

async fn running() -> (World, Bench, Compute, Job, Finished) {
    let world = World::new();
    let mut bench = Bench::new(&world).await;
    let compute = Compute::new(0x20);
    let job = bench.run(&world, &compute).await;
    let finished = Finished::of(&job, 2);
    bench.put(&finished.blobs());
    (world, bench, compute, job, finished)
}

async fn refused(change: impl FnOnce(&mut DeliverRequest, &FakeChain)) -> (u16, String) {
    let (_, mut bench, compute, job, finished) = running().await;
    let mut request = finished.delivery(&job, &compute, 1);
    change(&mut request, &bench.chain);
    let reply = bench.ask(Ask::Deliver(request)).await;
    assert_eq!(bench.store.held(job.jobId).await.unwrap(), None);
    let Reply::Problem(problem) = reply else { panic!("{reply:?}") };
    (problem.status, problem.detail)
}

#[tokio::test]
async fn a_delivered_result_is_held_and_a_retry_gets_the_same_bytes() {
    let (_, mut bench, compute, job, finished) = running().await;
    let request = finished.delivery(&job, &compute, 1);
    let first = bench.ask(Ask::Deliver(request.clone())).await;
    let answer: HeldResponse = body(&first);
    assert_eq!(answer.held.0, finished.held(&job));
    assert_eq!(DOMAIN.member_of(&answer.held.0, &answer.signature.0), Some(signing(1).address()));
    assert_eq!(bench.ask(Ask::Deliver(request)).await, first);
    let stored = bench.store.held(job.jobId).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<SealedShare>(&stored.share).unwrap(), finished.shares[0]);
}

#[tokio::test]
async fn a_delivery_that_compute_did_not_sign_fetches_nothing() {
    let (_, mut bench, _, job, finished) = running().await;
    let request = finished.delivery(&job, &Compute::new(0x21), 1);
    let reply = bench
        .ask_until(Ask::Deliver(request), |effect| {
            assert!(!matches!(effect, Effect::Fetch(_)), "fetched for a stranger");
            false
        })
        .await;
    assert_eq!(status(&reply.unwrap()), 409);
}

/// A man in the middle swaps what the signature covers; nothing of it is fetched or held, and the true
/// delivery that comes afterwards is not locked out.
#[tokio::test]
async fn a_delivery_with_swapped_evidence_is_refused_and_the_true_one_is_held() {
    let (_, mut bench, compute, job, finished) = running().await;
    let other = b"another stored blob".to_vec();
    bench.blobs.insert(root(&other), other.clone());
    let swaps: [&dyn Fn(&mut DeliverRequest); 3] = [
        &|request| {
            let DeliverRequest::Share { roots, .. } = request else { return };
            roots.attestation_ref = root(&other);
        },
        &|request| {
            let DeliverRequest::Share { blob_url, .. } = request else { return };
            *blob_url = "http://127.0.0.1:2".into();
        },
        &|request| {
            let DeliverRequest::Share { signature, .. } = request else { return };
            let held = compute.signing.sign(&DOMAIN.digest(&finished.held(&job))).unwrap();
            *signature = Bytes::copy_from_slice(held.as_bytes());
        },
    ];
    for swap in swaps {
        let mut request = finished.delivery(&job, &compute, 1);
        swap(&mut request);
        assert_ne!(request, finished.delivery(&job, &compute, 1));
        let reply = bench.ask(Ask::Deliver(request)).await;
        let Reply::Problem(problem) = reply else { panic!("{reply:?}") };
        assert!(problem.status == 409 && problem.detail.contains("not signed"), "{problem}");
    }
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
    let held = bench.store.held(job.jobId).await.unwrap().unwrap();
    assert_eq!(held.roots(), finished.roots);
}

#[tokio::test]
async fn a_second_result_of_one_attempt_is_refused() {
    let (_, mut bench, compute, job, finished) = running().await;
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
    let other = Finished::of(&job, 2);
    bench.put(&other.blobs());
    let stranger = B256::repeat_byte(0xee);
    for roots in [
        ResultRoots { result_hash: other.roots.result_hash, ..finished.roots },
        ResultRoots { base_model_root: stranger, ..finished.roots },
        ResultRoots { adapter_root: stranger, ..finished.roots },
        ResultRoots { attestation_ref: stranger, ..finished.roots },
        ResultRoots { report_hash: stranger, ..finished.roots },
    ] {
        let repeated = Finished { roots, ..Finished::of(&job, 2) };
        let reply = bench.ask(Ask::Deliver(repeated.delivery(&job, &compute, 1))).await;
        assert_eq!(problem(&reply), (409, "another result of this attempt is held"));
    }
    assert_eq!(bench.store.held(job.jobId).await.unwrap().unwrap().roots(), finished.roots);
}

#[tokio::test]
async fn a_job_that_does_not_run_delivers_nothing() {
    assert_eq!(refused(|_, chain| chain.say(|s| s.state = Some(JobState::Granted))).await.0, 425);
    let (code, why) = refused(|_, chain| chain.say(|s| s.now = s.job.runDeadline + 1)).await;
    assert!(code == 409 && why.contains("run deadline"), "{why}");
}

#[tokio::test]
async fn a_share_of_another_custodian_is_refused() {
    let (code, why) = refused(|request, _| {
        let DeliverRequest::Share { share, .. } = request else { return };
        share.custodian_id = signing(2).address();
    })
    .await;
    assert!(code == 409 && why.contains("neither set"), "{why}");
    let (_, why) = refused(|request, _| {
        let DeliverRequest::Share { share, .. } = request else { return };
        share.i = 2;
    })
    .await;
    assert!(why.contains("share index"), "{why}");
}

#[tokio::test]
async fn a_share_that_does_not_open_or_match_is_refused() {
    let (_, why) = refused(|request, _| {
        let DeliverRequest::Share { share, .. } = request else { return };
        let mut ct = share.ct.to_vec();
        ct[0] ^= 1;
        share.ct = ct.into();
    })
    .await;
    assert!(why.contains("does not open"), "{why}");
    let (_, why) = refused(|request, _| {
        let DeliverRequest::Share { share_commit, .. } = request else { return };
        *share_commit = B256::ZERO;
    })
    .await;
    assert!(why.contains("share commitment"), "{why}");
}

#[tokio::test]
async fn a_result_dealt_to_another_threshold_is_refused() {
    let (_, mut bench, compute, job, _) = running().await;
    let weak = Finished::of(&job, 1);
    bench.put(&weak.blobs());
    let reply = bench.ask(Ask::Deliver(weak.delivery(&job, &compute, 1))).await;
    let Reply::Problem(problem) = reply else { panic!("{reply:?}") };
    assert!(problem.detail.contains("threshold"), "{problem}");
}

#[tokio::test]
async fn a_result_of_another_job_is_refused() {
    let (_, mut bench, compute, job, _) = running().await;
    let own = Finished::of(&job, 2);
    let mut foreign = Finished::of(&Job { jobId: B256::repeat_byte(0x66), ..job.clone() }, 2);
    // With a report of this job, as compute would give it that passes another's result off as its own.
    (foreign.report, foreign.roots.report_hash) = (own.report, own.roots.report_hash);
    bench.put(&foreign.blobs());
    let reply = bench.ask(Ask::Deliver(foreign.delivery(&job, &compute, 1))).await;
    let (code, why) = problem(&reply);
    assert!(code == 409 && why.contains("another job or attempt"), "{why}");
}

#[tokio::test]
async fn a_blob_that_cannot_be_had_may_come_later() {
    let (_, mut bench, compute, job, finished) = running().await;
    bench.blobs.remove(&root(&finished.bundle));
    let reply = bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await;
    let Reply::Problem(problem) = reply else { panic!("{reply:?}") };
    assert_eq!((problem.status, problem.detail.as_str()), (503, "a blob could not be fetched"));
    bench.blobs.insert(root(&finished.bundle), finished.bundle.clone());
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
}

async fn held() -> (Bench, Compute, Job, Finished) {
    let (_, mut bench, compute, job, finished) = running().await;
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
    (bench, compute, job, finished)
}

#[tokio::test]
async fn a_manifest_with_t_held_is_published_once() {
    let (mut bench, compute, job, finished) = held().await;
    let manifest = finished.manifest(&job);
    let two = vec![finished.held_by(&job, 1), finished.held_by(&job, 3)];
    let ask = finished.sealed(&manifest, &compute.signing, two.clone());
    assert_eq!(bench.ask(ask.clone()).await, Reply::Done);
    assert_eq!(bench.ask(ask).await, Reply::Done);
    let stored = bench.store.held(job.jobId).await.unwrap().unwrap().manifest.unwrap();
    let published: SignedManifest = serde_json::from_slice(&stored).unwrap();
    assert_eq!(published.manifest.0, manifest);
    let other = ResultManifest { actualEpochs: 3, ..manifest };
    let ask = finished.sealed(&other, &compute.signing, two);
    assert_eq!(status(&bench.ask(ask).await), 409, "compute signs one");
}

#[tokio::test]
async fn a_manifest_without_enough_holders_is_not_published() {
    let (mut bench, compute, job, finished) = held().await;
    let manifest = finished.manifest(&job);
    let (one, three) = (finished.held_by(&job, 1), finished.held_by(&job, 3));
    let wrong_index = AbiHex(MemberSignature { index: 1, ..three.0.clone() });
    for (held, expected) in [
        (vec![], "0 members hold the result, 2 are needed"),
        (vec![one.clone()], "1 members hold the result, 2 are needed"),
        (vec![one.clone(), one.clone()], "wrong order of Held signatures"),
        (vec![three.clone(), one.clone()], "wrong order of Held signatures"),
        (vec![one.clone(), wrong_index], "Held is not signed by"),
        (vec![one, AbiHex(MemberSignature { index: 7, ..three.0 })], "wrong member index"),
    ] {
        let reply = bench.ask(finished.sealed(&manifest, &compute.signing, held)).await;
        let (code, why) = problem(&reply);
        assert!(code == 409 && why.contains(expected), "{expected}: {why}");
    }
    assert_eq!(bench.store.held(job.jobId).await.unwrap().unwrap().manifest, None);
}

#[tokio::test]
async fn a_manifest_of_somebody_else_or_about_something_else_is_refused() {
    let (mut bench, compute, job, finished) = held().await;
    let good = finished.manifest(&job);
    let two = || vec![finished.held_by(&job, 1), finished.held_by(&job, 3)];
    let stranger = finished.sealed(&good, &signing(0x21), two());
    let reply = bench.ask(stranger).await;
    assert!(matches!(problem(&reply), (409, why) if why.contains("the manifest is not signed by")));
    for (bad, field) in [
        (ResultManifest { actualEpochs: 0, ..good.clone() }, "actualEpochs"),
        (ResultManifest { actualEpochs: 4, ..good.clone() }, "actualEpochs"),
        (ResultManifest { datasetRoot: B256::ZERO, ..good.clone() }, "datasetRoot"),
        (ResultManifest { resultHash: B256::ZERO, ..good.clone() }, "resultHash"),
        (ResultManifest { baseModelRoot: B256::ZERO, ..good.clone() }, "baseModelRoot"),
        (ResultManifest { adapterRoot: B256::repeat_byte(0xee), ..good.clone() }, "adapterRoot"),
        (ResultManifest { attestationRef: B256::ZERO, ..good.clone() }, "attestationRef"),
        (ResultManifest { reportHash: B256::ZERO, ..good.clone() }, "reportHash"),
    ] {
        let reply = bench.ask(finished.sealed(&bad, &compute.signing, two())).await;
        let (code, why) = problem(&reply);
        assert!(code == 409 && why.contains(field), "{field}: {why}");
    }
}

#[tokio::test]
async fn a_manifest_of_a_result_that_is_not_held_here_is_not_published() {
    let (_, mut bench, compute, job, finished) = running().await;
    let two = vec![finished.held_by(&job, 2), finished.held_by(&job, 3)];
    let ask = finished.sealed(&finished.manifest(&job), &compute.signing, two);
    assert_eq!(status(&bench.ask(ask).await), 404);
}

/// Offers something else than what was trained; gives why it is refused.
async fn refused_roots(change: impl FnOnce(&mut Finished, &mut Bench)) -> (u16, String) {
    let (_, mut bench, compute, job, mut finished) = running().await;
    change(&mut finished, &mut bench);
    let reply = bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await;
    assert_eq!(bench.store.held(job.jobId).await.unwrap(), None);
    let Reply::Problem(problem) = reply else { panic!("{reply:?}") };
    (problem.status, problem.detail)
}

#[tokio::test]
async fn another_base_model_than_the_job_spec_s_is_not_held() {
    let (code, why) = refused_roots(|f, _| f.roots.base_model_root = B256::repeat_byte(0xb1)).await;
    assert!(code == 409 && why.contains("another base model than its delivery"), "{why}");
    // Without the JobSpec nobody can tell.
    let (code, _) = refused_roots(|_, bench| drop(bench.blobs.remove(&root(&job_spec())))).await;
    assert_eq!(code, 503);
}

#[tokio::test]
async fn another_adapter_than_the_result_s_is_not_held() {
    let (code, why) = refused_roots(|f, _| f.roots.adapter_root = B256::repeat_byte(0xad)).await;
    assert!(code == 409 && why.contains("another adapter root"), "{why}");
}

#[tokio::test]
async fn a_report_that_nobody_could_read_is_not_held() {
    let refused = async |report: Vec<u8>| {
        refused_roots(|finished, bench| {
            finished.roots.report_hash = root(&report);
            bench.put(&[&report]);
        })
        .await
    };
    let job = running().await.3;
    let good = report_of(&job).to_bytes().unwrap();
    let spaced = String::from_utf8(good.clone()).unwrap().replace(',', ", ").into_bytes();
    for report in [b"[1,2]".to_vec(), b"losses: 3".to_vec(), spaced] {
        let (code, why) = refused(report).await;
        assert!(code == 409 && why.contains("the report: "), "{why}");
    }
    let other = report_of(&Job { attempt: 2, ..job.clone() }).to_bytes().unwrap();
    let (code, why) = refused(other).await;
    assert!(code == 409 && why.contains("another report's job or attempt"), "{why}");
    let mut large = good;
    large.resize(licen_core::report::MAX_BYTES + 1, 0);
    assert_eq!(refused(large).await.0, 503, "it is not even fetched");
}

/// Whoever stores documents appends zeros to them, which changes no root.
#[tokio::test]
async fn zeros_behind_a_document_stop_no_delivery() {
    let (_, mut bench, compute, job, finished) = running().await;
    for document in [job_spec(), finished.report.clone()] {
        let mut padded = document.clone();
        padded.resize(document.len().next_multiple_of(256), 0);
        assert_ne!(padded, document);
        assert_eq!(root(&padded), root(&document));
        bench.blobs.insert(root(&document), padded);
    }
    assert_eq!(status(&bench.ask(Ask::Deliver(finished.delivery(&job, &compute, 1))).await), 200);
}
