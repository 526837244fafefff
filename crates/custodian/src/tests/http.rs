//! The whole custodian over real HTTP, from the challenge to the published manifest; only the
//! chain's word is the test's.

use std::future::pending;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use licen_core::job::JobState;
use licen_core::wire::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::blobs::{Blobs, FetchError, Part};
use crate::config::Config;
use crate::effect::Fetch;
use crate::error::Error;
use crate::run::Custodian;

fn config(dir: &std::path::Path) -> Config {
    let text = format!(
        r#"{{"listen":"127.0.0.1:0","stateDir":{dir:?},"signingKeyFile":"a","recipientKeyFile":"b",
        "rpcUrls":["http://127.0.0.1:1"],"deployment":"d","referenceValues":["r"]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

pub(super) struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(address: std::net::SocketAddr) -> Self {
        Self { base: format!("http://{address}"), http: reqwest::Client::new() }
    }

    pub(super) async fn post<Q: Serialize>(&self, path: &str, body: &Q) -> reqwest::Response {
        let body = serde_json::to_vec(body).unwrap();
        self.http.post(format!("{}{path}", self.base)).body(body).send().await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.base)).send().await.unwrap()
    }
}

pub(super) async fn read<T: DeserializeOwned>(response: reqwest::Response) -> T {
    let status = response.status();
    let body = response.bytes().await.unwrap();
    assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

pub(super) async fn serve_blobs(blobs: HashMap<B256, Vec<u8>>) -> String {
    let blobs = Arc::new(blobs);
    let handler = move |Path(root): Path<B256>| {
        let blob = blobs.get(&root).cloned().ok_or(StatusCode::NOT_FOUND);
        async move { blob }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, Router::new().route("/v1/blobs/{root}", get(handler))).into_future());
    format!("http://{address}")
}

async fn start(dir: &std::path::Path, chain: &FakeChain) -> (Client, Store) {
    let store = Store::open(&dir.join("custodian.db")).await.unwrap();
    let custodian = Custodian::with(config(dir), settings(1), chain.clone(), store.clone()).await.unwrap();
    let client = Client::new(custodian.address());
    tokio::spawn(custodian.run(pending()));
    (client, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_challenge_to_paid_result_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let compute = Compute::new(0x20);
    let chain = FakeChain::new(&world);
    let (client, store) = start(dir.path(), &chain).await;

    let challenge = world.challenge();
    let challenge: ChallengeResponse = read(client.post("/v1/challenge", &challenge).await).await;
    let data = compute.data(&world, challenge.nonce);
    let request = compute.request(&world, &data);
    let verdict: VerdictResponse = read(client.post("/v1/verdict", &request).await).await;
    let again: VerdictResponse = read(client.post("/v1/verdict", &request).await).await;
    assert_eq!(verdict, again);

    let job = world.running(&data);
    let release = ReleaseRequest { contract: DOMAIN.contract, job: AbiHex(job.clone()) };
    assert_eq!(client.post("/v1/release", &release).await.status(), 425);
    chain.say(|said| (said.state, said.job) = (Some(JobState::Running), job.clone()));
    let _: ReleaseResponse = read(client.post("/v1/release", &release).await).await;

    let finished = Finished::of(&job, 2);
    let url = serve_blobs(finished.served()).await;
    let delivery = finished.delivery_from(&job, &compute, 1, &url);
    let held: HeldResponse = read(client.post("/v1/deliver", &delivery).await).await;
    assert_eq!(held.held.0, finished.held(&job));
    for blob in finished.blobs() {
        let path = format!("/v1/blobs/{}", root(blob));
        assert_eq!(client.get(&path).await.bytes().await.unwrap(), *blob);
    }
    let spec = client.get(&format!("/v1/blobs/{}", job.jobSpecHash)).await;
    assert_eq!(spec.status(), 404, "it was looked at and is not held");

    let manifest_path = format!("/v1/manifest/{}", job.jobId);
    assert_eq!(client.get(&manifest_path).await.status(), 404);
    let two = vec![finished.held_by(&job, 1), finished.held_by(&job, 2)];
    let Ask::Deliver(sealed) = finished.sealed(&finished.manifest(&job), &compute.signing, two) else {
        unreachable!()
    };
    assert_eq!(client.post("/v1/deliver", &sealed).await.status(), 204);
    let published: SignedManifest = read(client.get(&manifest_path).await).await;
    assert_eq!(published.manifest.0, finished.manifest(&job));

    let result_path = format!("/v1/result/{}", job.jobId);
    assert_eq!(client.get(&result_path).await.status(), 425);
    chain.say(|said| {
        (said.state, said.settled) = (Some(JobState::Completed), Some(finished.manifest(&job)));
    });
    let result: ResultShareResponse = read(client.get(&result_path).await).await;
    assert_eq!(result.result_key, job.resultKey);

    let log: Vec<AuditRecord> = read(client.get("/v1/audit?from=1").await).await;
    let events: Vec<String> = log
        .iter()
        .map(|r| {
            serde_json::from_str::<serde_json::Value>(&r.entry).unwrap()["event"].as_str().unwrap().into()
        })
        .collect();
    assert_eq!(events, ["verdict", "release", "held", "manifest", "result"]);
    for (record, previous) in log.iter().zip(std::iter::once(B256::ZERO).chain(log.iter().map(|r| r.hash))) {
        let entry = keccak256(record.entry.as_bytes());
        let hash = keccak256([&record.sequence.to_be_bytes()[..], &previous[..], &entry[..]].concat());
        assert_eq!((record.previous, record.hash), (previous, hash));
    }
    let info: CustodianInfo = read(client.get("/v1/custodian").await).await;
    assert_eq!((info.audit_head, info.retention_days), (log.last().unwrap().hash, 90));
    assert_eq!(store.verify_audit().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_problems() {
    let dir = tempfile::tempdir().unwrap();
    let (client, _) = start(dir.path(), &FakeChain::new(&World::new())).await;
    let problem = |response: reqwest::Response| async {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        serde_json::from_slice::<Problem>(&response.bytes().await.unwrap()).unwrap()
    };
    let malformed = problem(client.post("/v1/verdict", &"nonsense").await).await;
    assert_eq!((malformed.status, malformed.code.as_str()), (400, "LIC0711"));
    assert_eq!(problem(client.post("/v1/alive", &1).await).await.status, 400);
    assert_eq!(problem(client.post("/v1/silence/xyz", &1).await).await.status, 400);
    assert_eq!(problem(client.get("/v1/nothing").await).await.status, 404);
    assert_eq!(problem(client.get("/v1/manifest/xyz").await).await.status, 400);
    assert_eq!(client.post("/v1/release", &"x".repeat(70_000)).await.status(), 413);
    assert_eq!(client.get("/v1/audit?from=x").await.status(), 400);
    let escape = format!("/v1/blobs/{}", "..%2Fcustodian.db");
    assert_eq!(client.get(&escape).await.status(), 400);
}

fn files(dir: &std::path::Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

fn failed<T: std::fmt::Debug>(fetched: Result<T, FetchError>) -> String {
    match fetched {
        Err(FetchError::Failed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_hashed_bounded_and_never_half_kept() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path(), 1_500, &[]).await.unwrap();
    let (blob, large, lie) = (vec![7u8; 1_000], vec![8u8; 1_600], B256::repeat_byte(1));
    let served =
        HashMap::from([(root(&blob), blob.clone()), (root(&large), large.clone()), (lie, blob.clone())]);
    let url = serve_blobs(served).await;
    let fetch = |root, max_bytes| Fetch { blob_url: url.clone(), root, max_bytes, head_bytes: 10 };
    let wrong = failed(blobs.fetch(&fetch(lie, 2_000), "a").await);
    assert!(wrong.contains("hashes to"), "{wrong}");
    let over = failed(blobs.fetch(&fetch(root(&blob), 999), "b").await);
    assert!(over.contains("larger than 999"), "{over}");
    let missing = failed(blobs.fetch(&fetch(B256::repeat_byte(2), 999), "c").await);
    assert!(missing.contains("404"), "{missing}");
    let full = failed(blobs.fetch(&fetch(root(&large), 2_000), "d").await);
    assert!(full.contains("maxHeldBytes is 1500"), "{full}");
    let odd = Fetch { blob_url: "file:///etc".into(), ..fetch(B256::ZERO, 1) };
    assert!(blobs.fetch(&odd, "e").await.is_err());
    assert_eq!(files(dir.path()), Vec::<String>::new());

    let root = root(&blob);
    for (name, stays) in [("f", false), ("g", true)] {
        let (head, part) = blobs.fetch(&fetch(root, 1_000), name).await.unwrap();
        assert_eq!(head.len(), 10);
        let placed = blobs.place(vec![part.unwrap()], &[root]).await.unwrap();
        assert_eq!(std::fs::read(blobs.path(&root)).unwrap(), blob);
        if stays {
            placed.into_iter().for_each(Part::stay);
        }
    }
    assert_eq!(files(dir.path()), [root.to_string()], "what stays is under its root");
    assert!(blobs.fetch(&fetch(root, 1_000), "h").await.unwrap().1.is_none(), "it is not fetched again");
    let small = failed(blobs.fetch(&fetch(root, 999), "j").await);
    assert!(small.contains("larger than 999"), "what is held is no smaller: {small}");
    let gone = blobs.place(vec![], &[lie]).await;
    assert!(gone.unwrap_err().contains("went away"));
    // What is there counts after a restart, too.
    let blobs = Blobs::open(dir.path(), 1_000, &[root]).await.unwrap();
    assert_eq!(blobs.fetch(&fetch(lie, 2_000), "i").await.unwrap_err(), FetchError::NoRoom);
}

/// Challenge and verdict over HTTP; the chain then says Running.
async fn run(client: &Client, chain: &FakeChain, world: &World) -> (Compute, Job) {
    let compute = Compute::new(0x20);
    let challenge = world.challenge();
    let challenge: ChallengeResponse = read(client.post("/v1/challenge", &challenge).await).await;
    let data = compute.data(world, challenge.nonce);
    let _: VerdictResponse = read(client.post("/v1/verdict", &compute.request(world, &data)).await).await;
    let job = world.running(&data);
    chain.say(|said| (said.state, said.job) = (Some(JobState::Running), job.clone()));
    (compute, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_delivery_leaves_no_blob_and_a_start_drops_what_no_record_names() {
    let dir = tempfile::tempdir().unwrap();
    let blob_dir = dir.path().join("blobs");
    let world = World::new();
    let chain = FakeChain::new(&world);
    let (client, store) = start(dir.path(), &chain).await;
    let (compute, job) = run(&client, &chain, &world).await;
    let (weak, finished) = (Finished::of(&job, 1), Finished::of(&job, 2));
    let url = serve_blobs(weak.served().into_iter().chain(finished.served()).collect()).await;

    let refused = client.post("/v1/deliver", &weak.delivery_from(&job, &compute, 1, &url)).await;
    assert_eq!(refused.status(), 409, "its header deals to another threshold");
    assert_eq!(files(&blob_dir), Vec::<String>::new());

    let _: HeldResponse =
        read(client.post("/v1/deliver", &finished.delivery_from(&job, &compute, 1, &url)).await).await;
    let mut held = finished.blobs().map(|blob| root(blob).to_string());
    held.sort();
    assert_eq!(files(&blob_dir), held);

    std::fs::write(blob_dir.join(root(&weak.blob).to_string()), &weak.blob).unwrap();
    std::fs::write(blob_dir.join("half.part"), b"half").unwrap();
    Custodian::with(config(dir.path()), settings(1), chain.clone(), store).await.unwrap();
    assert_eq!(files(&blob_dir), held);
}

#[tokio::test]
async fn a_custodian_does_not_start_over_a_changed_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custodian.db");
    let store = Store::open(&path).await.unwrap();
    store.append_audit(b"the-first-record", 1).await.unwrap();
    store.append_audit(b"two", 2).await.unwrap();
    store.close().await;
    // The page of the table holds the record as plain bytes.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(16).position(|window| window == b"the-first-record").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(&path).await.unwrap();
    let chain = FakeChain::new(&World::new());
    let refused = Custodian::with(config(dir.path()), settings(1), chain, store).await;
    assert!(matches!(refused, Err(Error::AuditBroken(1))));
}

/// A custodian that answers each caller twice; whom it is asked by, by status.
async fn twice_each(trusted: &[&str]) -> (tempfile::TempDir, impl AsyncFn(&[&str]) -> u16) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("custodian.db")).await.unwrap();
    let trusted_proxies = trusted.iter().map(ToString::to_string).collect::<Vec<_>>().try_into().unwrap();
    let config = Config { trusted_proxies, ..config(dir.path()) };
    let settings = Settings { rates: Rates { per_peer: 2, ..settings(1).rates }, ..settings(1) };
    let chain = FakeChain::new(&World::new());
    let custodian = Custodian::with(config, settings, chain, store).await.unwrap();
    let url = format!("http://{}/v1/result/{}", custodian.address(), B256::ZERO);
    tokio::spawn(custodian.run(pending()));
    let http = reqwest::Client::new();
    let ask = async move |forwarded: &[&str]| {
        let mut request = http.get(&url);
        for line in forwarded {
            request = request.header("x-forwarded-for", *line);
        }
        request.send().await.unwrap().status().as_u16()
    };
    (dir, ask)
}

#[tokio::test]
async fn a_stranger_gets_no_second_turn_by_a_header_of_its_own() {
    let (_dir, ask) = twice_each(&[]).await;
    for lie in ["198.51.100.1", "198.51.100.2"] {
        assert_ne!(ask(&[lie]).await, 429);
    }
    for lie in [&["198.51.100.3"][..], &["127.0.0.2"], &["unknown"], &[]] {
        assert_eq!(ask(lie).await, 429, "{lie:?}");
    }
}

#[tokio::test]
async fn callers_behind_a_trusted_proxy_are_told_apart_by_what_it_wrote_itself() {
    let (_dir, ask) = twice_each(&["127.0.0.1"]).await;
    for lie in ["198.51.100.1, 203.0.113.9", "198.51.100.2, 203.0.113.9"] {
        assert_ne!(ask(&[lie]).await, 429);
    }
    assert_eq!(ask(&["198.51.100.3, 203.0.113.9"]).await, 429, "its own entry stands last");
    assert_eq!(ask(&["198.51.100.3", "203.0.113.9"]).await, 429, "two lines are one list");
    assert_eq!(ask(&["::ffff:203.0.113.9"]).await, 429, "one address, written otherwise");
    assert_ne!(ask(&["203.0.113.10"]).await, 429, "another caller has turns of its own");
    assert_ne!(ask(&["unknown"]).await, 429, "what cannot be read counts as the proxy");
    assert_ne!(ask(&[]).await, 429);
    assert_eq!(ask(&["unknown"]).await, 429);
}
