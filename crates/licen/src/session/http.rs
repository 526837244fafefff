//! HTTP clients for peers that may lie: no redirects, no proxy on loopback, answers of bounded length.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

const CONNECT: Duration = Duration::from_secs(5);

/// A client for the peer at `base`, whose every call ends within `deadline`.
///
/// # Errors
/// No HTTP client can be made on this machine.
pub fn client(base: &str, deadline: Duration) -> Result<Client, reqwest::Error> {
    // A redirect would let a server choose whom a signed request goes to next.
    let mut builder =
        Client::builder().timeout(deadline).connect_timeout(CONNECT.min(deadline)).redirect(Policy::none());
    let url = Url::parse(base).ok();
    if matches!(url.as_ref().and_then(Url::host_str), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build()
}

/// The body of an answer.
///
/// # Errors
/// It broke off, or has more than `limit` bytes.
pub async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| e.without_url().to_string())? {
        if bytes.len() + chunk.len() > limit {
            return Err(format!("the answer has more than {limit} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server that gives `answer` to one caller, whatever is asked.
    async fn server(answer: String) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        base
    }

    #[tokio::test]
    async fn an_endless_answer_ends_at_its_limit() {
        let base = server(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000))).await;
        let answer = client(&base, CONNECT).unwrap().get(&base).send().await.unwrap();
        assert_eq!(body(answer, 1000).await.unwrap_err(), "the answer has more than 1000 bytes");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_an_order() {
        let elsewhere = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into()).await;
        let head = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {elsewhere}\r\n");
        let base = server(format!("{head}content-length: 0\r\n\r\n")).await;
        let answer = client(&base, CONNECT).unwrap().get(&base).send().await.unwrap();
        assert_eq!(answer.status(), 307);
    }
}
