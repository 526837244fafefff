//! A node that lies about one blob and passes everything else on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

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

/// As [`start`], but it says `other` for every `word` of the same length.
pub fn start_saying(node: &str, path: &str, word: &str, other: &str) -> String {
    assert!(word.len() == other.len() && word != other);
    let (word, other) = (word.to_string(), other.to_string());
    serve(node, path, move |answer| {
        for at in 0..answer.len().saturating_sub(word.len()) {
            if answer[at..].starts_with(word.as_bytes()) {
                answer[at..at + word.len()].copy_from_slice(other.as_bytes());
            }
        }
    })
}

/// As [`start`], but it changes one digit of what a field of the path's answer has in hex.
pub fn start_bending(node: &str, path: &str, field: &str) -> String {
    let name = format!("\"{field}\":\"0x");
    serve(node, path, move |answer| {
        let at = answer.windows(name.len()).position(|window| window == name.as_bytes());
        if let Some(at) = at {
            let digit = &mut answer[at + name.len() + 40];
            *digit = if *digit == b'1' { b'2' } else { b'1' };
        }
    })
}

/// What is done to an answer.
type Change = Arc<dyn Fn(&mut Vec<u8>) + Send + Sync>;

fn serve(node: &str, root: &str, change: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> String {
    let change: Change = Arc::new(change);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (node, root) = (node.trim_start_matches("http://").to_string(), root.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (node, root, change) = (node.clone(), root.clone(), Arc::clone(&change));
            std::thread::spawn(move || pass(stream, &node, &root, &change));
        }
    });
    base
}

fn pass(client: TcpStream, node: &str, root: &str, change: &Change) -> Option<()> {
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
