//! A node that lies about one blob and passes everything else on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// As [`start`], but it says of one path what a node of another chain would.
pub fn start_as(node: &str, path: &str) -> String {
    serve(node, path, |answer| {
        let text = String::from_utf8_lossy(answer).replace("\"chainId\":31337", "\"chainId\":31338");
        *answer = text.into_bytes();
    })
}

/// As [`start`], but it names a result of its own.
pub fn start_naming_another_result(node: &str) -> String {
    serve(node, "/graphql", |answer| {
        let name = b"\"resultHash\":\"0x";
        let at = answer.windows(name.len()).position(|window| window == name);
        if let Some(at) = at {
            answer[at + name.len()..at + name.len() + 64].fill(b'7');
        }
    })
}

/// Serves on a free port until the test ends; gives the base URL. Answers to a path that ends with
/// `root` have their last byte changed.
pub fn start(node: &str, root: &str) -> String {
    serve(node, root, |answer| {
        if let Some(last) = answer.last_mut() {
            *last ^= 1;
        }
    })
}

/// What is done to an answer.
type Change = fn(&mut Vec<u8>);

fn serve(node: &str, root: &str, change: Change) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (node, root) = (node.trim_start_matches("http://").to_string(), root.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (node, root) = (node.clone(), root.clone());
            std::thread::spawn(move || pass(stream, &node, &root, change));
        }
    });
    base
}

fn pass(client: TcpStream, node: &str, root: &str, change: Change) -> Option<()> {
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
    if path.ends_with(root) {
        change(&mut answer);
    }
    let mut client = client;
    client.write_all(&answer).ok()
}
