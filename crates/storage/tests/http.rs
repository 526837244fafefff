//! Server and client against each other, against broken connections, and against liars.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use licen_core::fault::{Fault, Party};
use licen_core::merkle::{SEGMENT_BYTES, file_tree};
use licen_core::primitives::B256;
use licen_storage::client::{self, Client};
use licen_storage::{Blobs, Error, blobs, http};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + 7) as u8).collect()
}

fn root_of(data: &[u8]) -> B256 {
    file_tree(data).expect("not empty").root
}

struct Server {
    address: SocketAddr,
    blobs: Blobs,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(dir: &Path) -> Self {
        Self::with(dir, blobs::Options::default(), http::Options::default()).await
    }

    async fn with(dir: &Path, store: blobs::Options, options: http::Options) -> Self {
        let blobs = Blobs::open(dir, store).expect("opens");
        let (address, task) = serve(http::router(blobs.clone(), options)).await;
        Self { address, blobs, task }
    }

    fn client(&self) -> Client {
        client_of(self.address)
    }

    fn url(&self, root: B256) -> String {
        format!("http://{}/v1/blobs/{root}", self.address)
    }
}

async fn serve(app: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    (address, tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") }))
}

fn client_of(address: SocketAddr) -> Client {
    let options = client::Options {
        backoff: Duration::from_millis(5),
        attempts: 4,
        part_bytes: 1 << 20,
        ..client::Options::default()
    };
    at(&format!("http://{address}/"), Duration::from_secs(2), options).expect("an address")
}

/// A client that bears pauses of `idle`.
fn at(base: &str, idle: Duration, options: client::Options) -> licen_storage::Result<Client> {
    let http = licen_peers::Http::new(licen_peers::Timeouts::streaming(idle)).expect("builds");
    Client::new(http.to(base), base, options)
}

/// Passes connections on to `to`. The first `cuts` of them break after `budget` bytes in the given
/// direction.
async fn cutting_proxy(to: SocketAddr, cuts: usize, budget: usize, upwards: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let seen = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(to).await.expect("connects");
            let cut = seen.fetch_add(1, Ordering::SeqCst) < cuts;
            tokio::spawn(pass(client, server, if cut { budget } else { usize::MAX }, upwards));
        }
    });
    address
}

async fn pass(mut client: TcpStream, mut server: TcpStream, budget: usize, upwards: bool) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (up, down) = if upwards { (budget, usize::MAX) } else { (usize::MAX, budget) };
    // Whichever ends first takes both connections down.
    tokio::select! {
        () = copy_at_most(&mut from_client, &mut to_server, up) => {}
        () = copy_at_most(&mut from_server, &mut to_client, down) => {}
    }
}

async fn copy_at_most(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut budget: usize,
) {
    let mut buffer = vec![0; 64 << 10];
    while budget > 0 {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let count = count.min(budget);
        budget -= count;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn round_trip_of_bytes_and_files() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("store")).await;
    let client = server.client();
    for len in [1, 1000, SEGMENT_BYTES, (3 << 20) + 17] {
        let data = pattern(len);
        let root = root_of(&data);
        assert_eq!(client.size(root).await.expect("answers"), None);
        assert!(matches!(client.get_bytes(root, 1 << 30).await, Err(Error::NotFound { .. })));
        let from = dir.path().join("from");
        std::fs::write(&from, &data).expect("writes");
        let mut heard = Vec::new();
        client.put_file(root, &from, |done, total| heard.push((done, total))).await.expect("stored");
        assert_eq!(heard.last(), Some(&(len as u64, len as u64)));
        assert!(heard.is_sorted(), "{heard:?}");
        client.put_bytes(root, data.clone()).await.expect("stored twice is stored");
        assert_eq!(client.size(root).await.expect("answers"), Some(len as u64));
        assert_eq!(client.get_bytes(root, len as u64).await.expect("verified"), data);
        let to = dir.path().join("to");
        assert_eq!(client.get_file(root, &to, 1 << 30, |_, _| {}).await.expect("verified"), len as u64);
        assert_eq!(std::fs::read(&to).expect("is there"), data);
        let small = client.get_bytes(root, len as u64 - 1).await;
        assert!(matches!(small, Err(Error::TooLarge { .. })), "{small:?}");
    }
    assert!(matches!(client.put_bytes(B256::ZERO, vec![]).await, Err(Error::Empty)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_the_connection_broke() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path()).await;
    let data = pattern((5 << 20) + 3);
    let root = root_of(&data);
    // Five connections break in the middle of a part; four failures in a row would be the end.
    let proxy = cutting_proxy(server.address, 5, 700_000, true).await;
    let mut heard = Vec::new();
    let file = dir.path().join("data");
    std::fs::write(&file, &data).expect("writes");
    let client = client_of(proxy);
    client.put_file(root, &file, |done, _| heard.push(done)).await.expect("stored");
    assert!(heard.is_sorted(), "nothing was sent twice from the start: {heard:?}");
    assert!(heard.iter().any(|at| *at > 0 && at % (1 << 20) != 0), "parts of parts were kept: {heard:?}");
    assert_eq!(server.blobs.read(root, u64::MAX).expect("reads"), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_the_server_was_restarted() {
    let dir = TempDir::new().expect("a directory");
    let first = Server::start(dir.path()).await;
    let data = pattern(SEGMENT_BYTES * 2 + 5);
    let root = root_of(&data);
    let http = reqwest::Client::builder().no_proxy().build().expect("builds");
    let part = |server: &Server, range: &str, bytes: &[u8]| {
        let url = format!("{}?upload=ab12", server.url(root));
        http.put(url).header("content-range", range).body(bytes.to_vec()).send()
    };
    let total = data.len();
    let answer = part(&first, &format!("bytes 0-999/{total}"), &data[..1000]).await.expect("answers");
    assert_eq!(
        (answer.status(), &answer.headers()["upload-offset"]),
        (StatusCode::ACCEPTED, &"1000".parse().unwrap())
    );
    first.task.abort();
    drop(first.blobs);
    let _ = first.task.await;

    let second = Server::start(dir.path()).await;
    let head = http.head(format!("{}?upload=ab12", second.url(root))).send();
    let mut answer = head.await.expect("answers");
    for _ in 0..100 {
        if answer.status() == StatusCode::NO_CONTENT {
            break;
        }
        // The old connection task may hold the file for a moment.
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = http.head(format!("{}?upload=ab12", second.url(root))).send().await.expect("answers");
    }
    assert_eq!(answer.headers()["upload-offset"], "1000");
    let wrong = part(&second, &format!("bytes 5-999/{total}"), &data[5..1000]).await.expect("answers");
    assert_eq!(
        (wrong.status(), &wrong.headers()["upload-offset"]),
        (StatusCode::CONFLICT, &"1000".parse().unwrap())
    );
    let rest = part(&second, &format!("bytes 1000-{}/{total}", total - 1), &data[1000..]).await;
    assert_eq!(rest.expect("answers").status(), StatusCode::CREATED);
    assert_eq!(second.blobs.read(root, u64::MAX).expect("reads"), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_has_all_bytes_is_only_told_to_end() {
    let dir = TempDir::new().expect("a directory");
    let data = pattern(300_000);
    let root = root_of(&data);
    // What a server leaves that stopped between the last byte and the end.
    let server = Server::start(dir.path()).await;
    let name = format!("incoming/up-{}-ab12.part", &root.to_string()[2..]);
    std::fs::write(dir.path().join(name), &data).expect("writes");
    let http = reqwest::Client::builder().no_proxy().build().expect("builds");
    let url = format!("{}?upload=ab12", server.url(root));
    let head = http.head(&url).send().await.expect("answers");
    assert_eq!(head.headers()["upload-offset"], "300000");
    let end = http.put(&url).header("content-range", "bytes */300000").send().await.expect("answers");
    assert_eq!(end.status(), StatusCode::CREATED);
    assert_eq!(server.blobs.read(root, u64::MAX).expect("reads"), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_the_connection_broke() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path()).await;
    let data = pattern((4 << 20) + 9);
    let root = server.blobs.put(None, &data[..], |_| {}).expect("stored").root;
    let proxy = cutting_proxy(server.address, 3, 1_200_000, false).await;
    assert_eq!(client_of(proxy).get_bytes(root, 1 << 30).await.expect("verified"), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_always_cut_short_ends_in_an_error_and_no_file() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("store")).await;
    let data = pattern(1 << 20);
    let root = server.blobs.put(None, &data[..], |_| {}).expect("stored").root;
    let proxy = cutting_proxy(server.address, usize::MAX, 100, false).await;
    let to = dir.path().join("to");
    let error = client_of(proxy).get_file(root, &to, 1 << 30, |_, _| {}).await.expect_err("cut");
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!((error.fault(), error.retryable()), (Party::Storage, true));
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).expect("lists").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(left, ["store"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_server_hands_nothing_over() {
    let dir = TempDir::new().expect("a directory");
    let data = pattern(300_000);
    let root = root_of(&data);
    let mut flipped = data.clone();
    flipped[200_000] ^= 1;
    for answer in [flipped, data[..299_000].to_vec(), pattern(1)] {
        let app = Router::new().route("/v1/blobs/{root}", get(move || async move { answer }));
        let (address, _task) = serve(app).await;
        let client = client_of(address);
        let to = dir.path().join("to");
        for error in [
            client.get_bytes(root, 1 << 30).await.expect_err("a lie"),
            client.get_file(root, &to, 1 << 30, |_, _| {}).await.expect_err("a lie"),
        ] {
            assert!(matches!(error, Error::Untrue { .. }), "{error:?}");
            assert_eq!((error.code(), error.fault(), error.retryable()), ("LIC0613", Party::Storage, false));
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_length_of_a_root_is_in_nobodys_way() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path()).await;
    // An archive ends with zeros; a stranger was first with a form that has fewer of them.
    let archive = [pattern(3 * SEGMENT_BYTES), vec![0; 1024]].concat();
    let cut = &archive[..archive.len() - 1000];
    assert_eq!(root_of(cut), root_of(&archive));
    server.client().put_bytes(root_of(cut), cut.to_vec()).await.expect("stored");
    server.client().put_bytes(root_of(&archive), archive.clone()).await.expect("stored as well");
    assert_eq!(server.client().get_bytes(root_of(&archive), u64::MAX).await.expect("reads"), archive);
    // With more, the file is inside what is stored.
    let longer = [&archive[..], &[0; 7]].concat();
    server.client().put_bytes(root_of(&longer), longer.clone()).await.expect("stored");
    server.client().put_bytes(root_of(&archive), archive.clone()).await.expect("nothing to do");
    assert_eq!(server.client().get_bytes(root_of(&archive), u64::MAX).await.expect("reads"), longer);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_speak_the_protocol() {
    let root = root_of(b"x");
    async fn against<R: IntoResponse + Send + 'static>(
        answer: impl Fn(HeaderMap) -> R + Clone + Send + Sync + 'static,
    ) -> Client {
        let handler = move |headers: HeaderMap| async move { answer(headers) };
        client_of(serve(Router::new().route("/v1/blobs/{root}", get(handler.clone()).put(handler))).await.0)
    }
    let empty = against(|_| "").await;
    assert!(matches!(empty.get_bytes(root, 10).await, Err(Error::Protocol { .. })));
    let moved = against(|_| (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")])).await;
    assert!(matches!(moved.get_bytes(root, 10).await, Err(Error::Refused { status: 302, .. })));
    let partial = against(|_| (StatusCode::PARTIAL_CONTENT, "x")).await;
    assert!(matches!(partial.get_bytes(root, 10).await, Err(Error::Protocol { .. })));
    let rude = against(|_| (StatusCode::FORBIDDEN, "\u{1b}[31mno")).await;
    let error = rude.put_bytes(root, &b"x"[..]).await.expect_err("refused");
    assert!(matches!(&error, Error::Refused { status: 403, code, .. } if code == "HTTP"), "{error:?}");
    let stuck = against(|_| (StatusCode::NO_CONTENT, [("upload-offset", "0")])).await;
    assert!(stuck.put_bytes(root, &b"x"[..]).await.is_err(), "no endless loop");
    let broken = against(|_| StatusCode::INTERNAL_SERVER_ERROR).await;
    let error = broken.get_bytes(root, 10).await.expect_err("broken");
    assert!(error.retryable(), "{error:?}");
}

#[tokio::test]
async fn every_wait_ends() {
    // Accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = silent.local_addr().expect("an address");
    let options = client::Options { deadline: Duration::from_millis(300), ..client::Options::default() };
    let base = format!("http://{address}");
    let client = at(&base, Duration::from_secs(60), options.clone()).expect("an address");
    let root = root_of(b"x");
    for error in [
        client.get_bytes(root, 10).await.expect_err("silence"),
        client.put_bytes(root, &b"x"[..]).await.expect_err("silence"),
        client.size(root).await.expect_err("silence"),
    ] {
        assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    }
    let quick = client::Options { deadline: Duration::from_secs(60), attempts: 2, ..options };
    let client = at(&base, Duration::from_millis(50), quick).expect("an address");
    assert!(matches!(client.get_bytes(root, 10).await, Err(Error::Unreachable { .. })));
    drop(silent);
    assert!(matches!(client.get_bytes(root, 10).await, Err(Error::Unreachable { .. })));
    for bad in ["ftp://x", "no address", "http://h/?q=1", "https://h/#x"] {
        assert!(at(bad, Duration::from_secs(1), client::Options::default()).is_err(), "{bad}");
    }
    assert!(at("https://example.org", Duration::from_secs(1), client::Options::default()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_recomputes_the_root() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path()).await;
    let data = pattern(2 << 20);
    let root = root_of(&data);
    let mut wrong = data.clone();
    wrong[7] ^= 1;
    let error = server.client().put_bytes(root, wrong.clone()).await.expect_err("another root");
    assert!(matches!(&error, Error::Refused { status: 422, code, .. } if code == "LIC0602"), "{error:?}");
    assert!(!server.blobs.exists(root).expect("asks"));
    assert_eq!(std::fs::read_dir(dir.path().join("incoming")).expect("lists").count(), 0);
    // Nobody can spoil somebody else's upload: theirs has another name.
    let http = reqwest::Client::builder().no_proxy().build().expect("builds");
    let range = format!("bytes 0-99/{}", data.len());
    let spoil = http.put(server.url(root)).header("content-range", range).body(wrong[..100].to_vec());
    assert_eq!(spoil.send().await.expect("answers").status(), StatusCode::ACCEPTED);
    server.client().put_bytes(root, data.clone()).await.expect("stored");
    assert_eq!(server.blobs.read(root, u64::MAX).expect("reads"), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_of_one_root() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path()).await;
    let data = pattern((2 << 20) + 1);
    let root = root_of(&data);
    let shared = server.client();
    let uploads: Vec<_> = (0..6)
        .map(|i| {
            // Some share one upload, some have their own.
            let client = if i % 2 == 0 { shared.clone() } else { server.client() };
            let data = data.clone();
            tokio::spawn(async move { client.put_bytes(root, data).await })
        })
        .collect();
    for upload in uploads {
        upload.await.expect("ends").expect("stored");
    }
    assert_eq!(server.blobs.read(root, u64::MAX).expect("reads"), data);
    let left: Vec<_> = std::fs::read_dir(dir.path().join("incoming")).expect("lists").collect();
    assert!(left.len() <= 5, "only uploads that lost the race, which time out: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_single_bytes_keep_nobody_out() {
    let dir = TempDir::new().expect("a directory");
    let limits = http::Options { max_open_uploads: 3, ..http::Options::default() };
    let server = Server::with(dir.path(), blobs::Options::default(), limits).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("builds");
    for i in 0..3 {
        let url = format!("{}?upload={i}", server.url(root_of(b"never")));
        let one = http.put(url).header("content-range", "bytes 0-0/100000000").body("x");
        assert_eq!(one.send().await.expect("answers").status(), StatusCode::ACCEPTED);
    }
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let data = pattern(3 << 20);
    server.client().put_bytes(root_of(&data), data.clone()).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_heads_and_problems_over_the_wire() {
    let dir = TempDir::new().expect("a directory");
    let store = blobs::Options { max_blob_bytes: 1 << 20, ..blobs::Options::default() };
    let limits = http::Options { max_open_uploads: 1, ..http::Options::default() };
    let server = Server::with(dir.path(), store, limits).await;
    let data = pattern(700_000);
    let root = server.blobs.put(None, &data[..], |_| {}).expect("stored").root;
    let http = reqwest::Client::builder().no_proxy().build().expect("builds");
    let url = server.url(root);

    let head = http.head(&url).send().await.expect("answers");
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "700000");
    assert_eq!(head.headers()["etag"], format!("\"{root}\""));
    let part = http.get(&url).header("range", "bytes=262143-262145").send().await.expect("answers");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 262143-262145/700000");
    assert_eq!(part.bytes().await.expect("arrives"), data[262143..262146]);
    let beyond = http.get(&url).header("range", "bytes=700000-").send().await.expect("answers");
    assert_eq!(beyond.headers()["content-range"], "bytes */700000");
    problem(beyond, 416, "LIC0618").await;
    let many = http.get(&url).header("range", "bytes=0-1,3-4").send().await.expect("answers");
    assert_eq!(many.bytes().await.expect("arrives"), data);

    let other = root_of(b"other");
    problem(http.get(server.url(other)).send().await.expect("answers"), 404, "LIC0603").await;
    for bad in ["..%2f..%2fetc%2fpasswd", "0xAB", &format!("0x{}", "A".repeat(64)), &"a".repeat(64)] {
        let url = format!("http://{}/v1/blobs/{bad}", server.address);
        problem(http.get(&url).send().await.expect("answers"), 400, "LIC0608").await;
        problem(http.put(&url).body("x").send().await.expect("answers"), 400, "LIC0608").await;
    }
    let put = |range: &str, id: &str| {
        let request = http.put(format!("{}?upload={id}", server.url(other)));
        request.header("content-range", range).body("othe").send()
    };
    problem(put("bytes 0-3/99999999", "a").await.expect("answers"), 413, "LIC0604").await;
    problem(put("bytes 0-4/5", "a").await.expect("answers"), 400, "LIC0608").await;
    problem(put("bytes 0-3/5", "../x").await.expect("answers"), 400, "LIC0608").await;
    problem(put("bytes 1-4/5", "a").await.expect("answers"), 409, "LIC0606").await;
    assert_eq!(put("bytes 0-3/5", "a").await.expect("answers").status(), StatusCode::ACCEPTED);
    problem(put("bytes 0-3/5", "b").await.expect("answers"), 503, "LIC0617").await;
    problem(http.put(server.url(other)).body("").send().await.expect("answers"), 400, "LIC0601").await;
    let whole = http.put(server.url(other)).body("other").send().await.expect("answers");
    assert_eq!(whole.status(), StatusCode::CREATED);
    let again = http.put(server.url(other)).body("other").send().await.expect("answers");
    assert_eq!(again.status(), StatusCode::OK);
    assert!(again.text().await.expect("arrives").contains(r#""created":false"#));
}

async fn problem(response: reqwest::Response, status: u16, code: &str) {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: http::Problem =
        serde_json::from_slice(&response.bytes().await.expect("arrives")).expect("json");
    assert_eq!((problem.status, &problem.code[..]), (status, code), "{problem:?}");
    assert_eq!(problem.r#type, format!("urn:licen:{code}"));
    assert!(!problem.title.is_empty() && !problem.detail.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_servers_disk_reaches_nobody() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path()).await;
    let data = pattern(3 << 20);
    let root = server.blobs.put(None, &data[..], |_| {}).expect("stored").root;
    let name = root.to_string()[2..].to_string();
    let path = dir.path().join("blobs").join(&name[..2]).join(&name);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(2 << 20)).expect("seeks");
    file.write_all(b"!").expect("writes");
    let error = server.client().get_bytes(root, 1 << 30).await.expect_err("damaged");
    // The body breaks off, and when the client comes back for the rest the blob is set aside.
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    server.client().put_bytes(root, data.clone()).await.expect("repaired");
    assert_eq!(server.client().get_bytes(root, 1 << 30).await.expect("verified"), data);
}
