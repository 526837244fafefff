//! A full disk, which only the inside of the crate can stage. Everything else is in `tests/http.rs`.

use licen_core::merkle::file_tree;
use tempfile::TempDir;

use super::*;
use crate::blobs;
use crate::client::{self, Client};

#[tokio::test]
async fn a_full_disk_is_a_507_and_the_upload_continues_when_there_is_room() {
    let dir = TempDir::new().expect("a directory");
    let blobs = Blobs::open(dir.path(), blobs::Options::default()).expect("opens");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let app = router(blobs.clone(), Options::default());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    let root = file_tree(&data).expect("not empty").root;
    let options = client::Options { part_bytes: 1 << 20, ..client::Options::default() };
    let http = licen_peers::Http::new(licen_peers::Timeouts::streaming(std::time::Duration::from_secs(30)));
    let client = Client::new(http.expect("builds").to(&base), &base, options).expect("an address");
    blobs.set_room(2_500_000);
    let full = client.put_bytes(root, data.clone()).await.expect_err("no room");
    let Error::Refused { status: 507, code, detail, .. } = full else { panic!("{full:?}") };
    assert_eq!((&code[..], &detail[..]), ("LIC0609", "no space left in the store"));
    assert!(!blobs.exists(root).expect("asks"));

    blobs.set_room(u64::MAX);
    client.put_bytes(root, data.clone()).await.expect("room");
    assert_eq!(blobs.read(root, u64::MAX).expect("reads"), data);
}
