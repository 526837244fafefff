//! What the host, a relay or an orchestrator tries on a node. Each attack is a test, named after it.

mod trainers;

use std::collections::BTreeSet;
use std::sync::Mutex;

use licen_core::abi::Stop;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{Dispatch, StopRequest, TaskStatus};

use super::serve_world::{Mode, Setting, T, World, contains, files, logs};
use super::{delivered, failed, manifest_of};

/// With the signature the host could settle alone, before custodians publish the manifest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signed_manifest_is_nowhere_that_the_host_looks() {
    logs::record();
    let world = World::new(Setting { epochs: 1, ..Setting::default() }).await;
    let folder = world.work_dir.parent().unwrap();
    let running = world.start().await;
    // Each content once: most of what lies there does not change between two looks.
    let seen = Mutex::new(BTreeSet::new());
    let look = |status: &TaskStatus| {
        let mut seen = seen.lock().unwrap();
        seen.insert(serde_json::to_vec(status).unwrap());
        seen.extend(files(&world.work_dir).iter().filter_map(|path| std::fs::read(path).ok()));
        delivered(status)
    };
    world.until("delivery", look).await;
    let manifest = manifest_of(&world, running.signer);
    let signed = world.custodians.iter().find_map(|custodian| custodian.manifest()).unwrap();
    let hex = format!("{:x}", signed.signature);
    let needles = [signed.signature.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
    let plain = licen_core::canonical::json_to_vec(&signed).unwrap();
    assert!(contains(&plain, &needles[1]), "this is how custodians will publish it");

    let mut seen = seen.into_inner().unwrap();
    let (_, answer) = world.get(&format!("/v1/jobs/{}/1", world.job.jobId)).await;
    seen.extend([answer.to_string().into_bytes(), logs::lines()]);
    // The public blobs too, of which result and evidence bundle are new.
    seen.extend(files(folder).iter().filter_map(|path| std::fs::read(path).ok()));
    assert!(seen.contains(&world.blobs.read(manifest.attestationRef, 1 << 20).unwrap()));
    assert!(contains(&logs::lines(), b"Delivered"), "logs are recorded");
    for needle in needles {
        assert!(!seen.iter().any(|bytes| contains(bytes, &needle)));
    }
}

/// Whoever relays the requester's stop of another attempt or job does not end this one early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_stop_ends_nothing() {
    let world = World::new(Setting::default()).await;
    let (job_id, other) = (world.job.jobId, B256::repeat_byte(0x66));
    let sign = |stop: Stop| {
        let signature = world.requester.sign(&world.domain.digest(&stop)).unwrap();
        StopRequest { stop: AbiHex(stop), signature: Bytes::copy_from_slice(signature.as_bytes()) }
    };
    let replay = async || {
        for stop in [Stop { jobId: job_id, attempt: 2 }, Stop { jobId: other, attempt: 1 }] {
            let genuine = sign(stop);
            let relabelled =
                StopRequest { stop: AbiHex(Stop { jobId: job_id, attempt: 1 }), ..genuine.clone() };
            for request in [genuine, relabelled] {
                assert_eq!(world.stop(&request).await, 403, "{request:?}");
            }
        }
    };
    let status = world.ticket().await;
    replay().await;
    let running = world.running(&status);
    assert_eq!(world.put(&world.dispatch_of(running.clone())).await.0, 200);
    replay().await;
    world.until("delivery", delivered).await;
    assert_eq!(manifest_of(&world, running.signer).actualEpochs, world.job.epochs, "all that was bought");
}

/// A dispatch says where custodians listen. Who they are, and how many are needed, the envelope says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_with_custodians_of_its_own_starts_nothing() {
    type Change = fn(&mut Dispatch);
    let changes: [(&str, Change); 4] = [
        ("is not in the envelope", |dispatch| {
            for (n, custodian) in (0x61..).zip(&mut dispatch.custodian_urls) {
                custodian.id = Address::repeat_byte(n);
            }
        }),
        ("is not in the envelope", |dispatch| dispatch.custodian_urls[2].id = Address::repeat_byte(0x66)),
        ("the envelope has another threshold", |dispatch| dispatch.threshold = 1),
        ("the envelope has another threshold", |dispatch| dispatch.threshold = T + 1),
    ];
    for (expected, change) in changes {
        let world = World::new(Setting::default()).await;
        let mut dispatch = world.dispatch_of(world.job.clone());
        change(&mut dispatch);
        assert_eq!(world.put(&dispatch).await.0, 200);
        let status = world.until("the end", failed).await;
        assert!(status.message.contains(expected), "{status:?}");
        assert!(status.start.is_none() && status.failure.is_none(), "{status:?}");
    }
}

/// Custodians answer in plain HTTP: whoever is on the way can say in their name that the attempt is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_word_of_silence_ends_nothing() {
    let modes = vec![Mode::SpokenFor, Mode::Honest, Mode::SpokenFor];
    let config = serde_json::json!({"aliveSeconds": 1});
    // Long enough for several words, as in the test where the statements are genuine.
    let world = World::new(Setting { modes, epochs: 9, config, ..Setting::default() }).await;
    world.start().await;
    world.until("delivery", delivered).await;
}
