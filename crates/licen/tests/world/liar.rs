//! A node that lies about one blob and passes everything else on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Serves on a free port until the test ends; gives the base URL. Answers to a path that ends with
/// `root` have their last byte changed.
pub fn start(node: &str, root: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (node, root) = (node.trim_start_matches("http://").to_string(), root.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (node, root) = (node.clone(), root.clone());
            std::thread::spawn(move || pass(stream, &node, &root));
        }
    });
    base
}

fn pass(client: TcpStream, node: &str, root: &str) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        // One request per connection keeps this short.
        if !lower.starts_with("connection:") && line != "\r\n" {
            head.push_str(&line);
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut upstream = TcpStream::connect(node).ok()?;
    upstream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    upstream.write_all(&body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    let path = head.lines().next()?.split(' ').nth(1)?.to_string();
    if head.starts_with("GET") && path.ends_with(root) {
        *answer.last_mut()? ^= 1;
    }
    let mut client = client;
    client.write_all(&answer).ok()
}
