//! Large files in constant memory. A process of its own, because it measures the process.

#![cfg(target_os = "linux")]

use std::io::{Read, sink};
use std::path::Path;

use licen_storage::client::{self, Client};
use licen_storage::{Blobs, blobs, http, root};

/// Size of the file; `LICEN_STORAGE_MIB=4096` takes as many.
const MIB: u64 = 256;
const ALLOWED_GROWTH_KIB: u64 = 64 << 10;

/// Bytes that are cheap to make and not all the same.
struct Made {
    left: u64,
}

impl Read for Made {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(usize::try_from(self.left).expect("fits"));
        for (i, word) in buffer[..count].chunks_mut(8).enumerate() {
            let value = (self.left + i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            word.copy_from_slice(&value[..word.len()]);
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// The most memory this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_larger_than_the_bound_on_memory_goes_through_everything() {
    let bytes = std::env::var("LICEN_STORAGE_MIB").ok().and_then(|m| m.parse().ok()).unwrap_or(MIB) << 20;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let open = |name: &str| Blobs::open(dir.path().join(name), blobs::Options::default()).expect("opens");
    let near = open("near");
    near.put(None, Made { left: 1 << 20 }, |_| {}).expect("warm");
    let before = peak_kib();

    let stored = near.put(None, Made { left: bytes }, |_| {}).expect("stored");
    assert_eq!(stored.bytes, bytes);
    let mut reader = near.get(stored.root).expect("opens").reader();
    assert_eq!(std::io::copy(&mut reader, &mut sink()).expect("verified"), bytes);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let app = http::router(open("far"), http::Options::default());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let patient = licen_peers::Timeouts::streaming(std::time::Duration::from_secs(30));
    let wires = licen_peers::Http::new(patient).expect("builds");
    let client = Client::new(wires.to(&base), &base, client::Options::default()).expect("an address");
    let name = stored.root.to_string()[2..].to_string();
    let file = dir.path().join("near/blobs").join(&name[..2]).join(&name);
    client.put_file(stored.root, &file, |_, _| {}).await.expect("stored");
    let back = dir.path().join("back");
    client.get_file(stored.root, &back, bytes, |_, _| {}).await.expect("verified");
    let tree = root::of_path(Path::new(&back), |_| {}).expect("hashes");
    assert_eq!(tree.root, stored.root);

    let grown = peak_kib() - before;
    eprintln!("peak memory grew by {grown} KiB for {} MiB", bytes >> 20);
    assert!(grown < ALLOWED_GROWTH_KIB, "{grown} KiB");
}
