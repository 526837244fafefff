//! Peers that would keep, fill or mislead whoever calls them, over real sockets.

use std::time::Duration;

use licen_core::fault::{Fault, Party};
use licen_core::primitives::B256;
use licen_core::wire::Problem;
use licen_peers::{
    Answer, Body, BodyError, CallError, Compute, Custodian, Http, Node, Peer, StatusCode, Timeouts, Why,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(10);

/// A server that does `what` with every connection once a request came.
async fn server<F>(what: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            tokio::spawn(what(stream));
        }
    });
    base
}

/// A server that gives one answer, whatever is asked.
async fn says(answer: impl Into<String>) -> String {
    let answer = answer.into();
    server(move |mut stream| {
        let answer = answer.clone();
        async move {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

fn http(within: Duration) -> Http {
    Http::new(Timeouts::within(within)).unwrap()
}

async fn get(base: &str, limit: u64, within: Duration) -> Result<Answer, CallError> {
    Peer::new(&http(within), base, Party::Custodian, limit).unwrap().get("/").await
}

#[tokio::test]
async fn an_endless_body_ends_at_its_limit() {
    let base = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
    })
    .await;
    let error = get(&base, 50_000, SOON).await.unwrap_err();
    assert!(matches!(error.why, Why::TooLarge { limit: 50_000, status: StatusCode::OK }), "{error:?}");
    assert!(error.is_answered() && !error.retryable());
    assert_eq!(error.fault(), Party::Custodian);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
    let base = says("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(get(&base, 5, SOON).await.unwrap().good().unwrap(), b"hello");
    assert!(matches!(get(&base, 4, SOON).await.unwrap_err().why, Why::TooLarge { limit: 4, .. }));
    let chunked =
        says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n").await;
    assert_eq!(get(&chunked, 5, SOON).await.unwrap().good().unwrap(), b"hello");
    assert!(matches!(get(&chunked, 4, SOON).await.unwrap_err().why, Why::TooLarge { limit: 4, .. }));
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_refused_before_a_byte_of_it_came() {
    let base = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let error = get(&base, 1000, SOON).await.unwrap_err();
    assert!(matches!(error.why, Why::TooLarge { limit: 1000, .. }), "{error:?}");
    let response = http(SOON).to(&base).get(&base).send().await.unwrap();
    assert!(matches!(Body::of(response, 1000), Err(BodyError::TooLarge(1000))));
}

#[tokio::test]
async fn a_redirect_is_an_error_and_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = elsewhere.local_addr().unwrap();
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let base =
            says(format!("HTTP/1.1 {status}\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n")).await;
        let error = get(&base, 1000, SOON).await.unwrap().good().unwrap_err();
        let Why::Refused { status: answered, problem: None } = &error.why else { panic!("{error:?}") };
        assert!(answered.is_redirection() && !error.retryable());
        assert!(Custodian::new(&http(SOON), &base).unwrap().about().await.is_err());
    }
    let asked = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
    assert!(asked.is_err(), "somebody followed");
}

#[tokio::test]
async fn a_peer_that_stalls_ends_at_its_deadline() {
    let limit = Duration::from_millis(200);
    let mute = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let stuck = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    })
    .await;
    let error = get(&mute, 1000, limit).await.unwrap_err();
    assert!(matches!(error.why, Why::Late(_)), "{error:?}");
    assert!(error.retryable() && !error.is_answered() && !error.is_unreachable());
    let error = get(&stuck, 1000, limit).await.unwrap_err();
    assert!(matches!(error.why, Why::Cut { status: StatusCode::OK, .. }), "{error:?}");
    assert!(error.retryable() && !error.is_answered());
    // A call's own deadline is shorter or longer than the client's, as it says.
    let patient = Http::direct(Timeouts::of_each_call()).unwrap();
    let custodian = Custodian::new(&patient, &mute).unwrap().within(limit);
    assert!(matches!(custodian.about().await.unwrap_err().why, Why::Late(_)));
    // Silence ends a stream that has no deadline as a whole.
    let streaming = Http::new(Timeouts::streaming(limit)).unwrap();
    let error = Peer::new(&streaming, &stuck, Party::Storage, 1000).unwrap().get("/").await.unwrap_err();
    assert!(matches!(error.why, Why::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_peer_that_slowly_drips_ends_at_its_deadline_too() {
    let base = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(matches!(
        get(&base, 1 << 20, Duration::from_millis(300)).await.unwrap_err().why,
        Why::Cut { .. }
    ));
}

#[tokio::test]
async fn a_job_that_was_taken_is_taken_whatever_is_said_beside() {
    let base = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    })
    .await;
    let compute = Peer::new(&http(SOON), &base, Party::Compute, 1000).unwrap();
    compute.put("/v1/jobs/x/1", "job").await.unwrap();
    let no = says("HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").await;
    let compute = Peer::new(&http(SOON), &no, Party::Compute, 1000).unwrap();
    assert!(compute.put("/v1/jobs/x/1", "job").await.is_err());
}

#[tokio::test]
async fn nobody_there_is_told_from_silence() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = get(&format!("http://{gone}"), 1000, SOON).await.unwrap_err();
    assert!(error.is_unreachable() && error.retryable() && !error.is_answered(), "{error:?}");
    assert_eq!(error.to_string(), "cannot connect");
    assert!(error.root().contains("refused"), "{}", error.root());
    let slams = server(|stream| async move { drop(stream) }).await;
    let error = get(&slams, 1000, SOON).await.unwrap_err();
    assert!(matches!(error.why, Why::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn a_refusal_says_what_every_role_asks_of_it() {
    for (status, again) in [(400, false), (403, false), (404, false), (408, true), (409, false), (422, false)]
        .into_iter()
        .chain([(425, true), (429, true), (500, true), (502, true), (503, true), (599, true)])
    {
        let problem = serde_json::to_string(&Problem::new(status, "LIC0718", "no", "because")).unwrap();
        let length = problem.len();
        let base = says(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{problem}")).await;
        let error = Compute::new(&http(SOON), &base).unwrap().info().await.unwrap_err();
        assert_eq!(error.retryable(), again, "{status}");
        assert_eq!(error.is_early(), status == 425, "{status}");
        assert!(error.is_answered() && error.has_code("LIC0718") && !error.has_code("LIC0719"));
        assert_eq!(error.status().unwrap().as_u16(), status);
        assert_eq!((error.fault(), error.to_string()), (Party::Compute, "no: because [LIC0718]".to_string()));
    }
    let base = says("HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy").await;
    let error = Node::new(&http(SOON), &base).unwrap().deployment().await.unwrap_err();
    assert_eq!(error.to_string(), "status 503 Service Unavailable");
    assert!(matches!(error.why, Why::Refused { problem: None, .. }));
}

#[tokio::test]
async fn an_answer_that_the_protocol_does_not_know_lasts() {
    let base = says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let error = Custodian::new(&http(SOON), &base).unwrap().manifest(B256::ZERO).await.unwrap_err();
    assert!(
        matches!(error.why, Why::Unreadable(_)) && !error.retryable() && error.is_answered(),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_address_of_no_peer_is_refused_before_anybody_is_asked() {
    for bad in ["ftp://h", "h:1", "http://h/?q=1"] {
        let error = Node::new(&http(SOON), bad).unwrap_err();
        assert!(matches!(error.why, Why::Address(_)) && !error.retryable(), "{bad}: {error:?}");
        assert_eq!(error.fault(), Party::Environment);
    }
}

#[tokio::test]
async fn no_error_has_an_address_in_it() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let base = format!("http://me:hunter2@{gone}/secret");
    let error = Node::new(&http(SOON), &base).unwrap().deployment().await.unwrap_err();
    let mut said = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        said.push_str(&format!(" {inner} {inner:?}"));
        source = inner.source();
    }
    assert!(!said.contains("secret") && !said.contains("hunter2"), "{said}");
    let node = Node::new(&http(SOON), &base).unwrap();
    assert!(!format!("{node:?}").contains("hunter2"), "{node:?}");
}
