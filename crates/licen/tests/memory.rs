//! Publishing takes the same memory for any size: a file larger than the bound passes under it.

use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Size of the file; `LICEN_PUBLISH_MIB=4096` takes as many.
const MIB: usize = 256;
const MOST_MIB: f64 = 200.0;

/// The most memory the process has had resident so far, while it runs.
fn peak_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

#[test]
fn a_file_larger_than_the_bound_on_memory_is_encrypted_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.jsonl");
    let row = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1_012));
    let mib = std::env::var("LICEN_PUBLISH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(MIB);
    let rows = (mib << 20) / row.len();
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&file).unwrap());
    (0..rows).for_each(|_| out.write_all(row.as_bytes()).unwrap());
    out.into_inner().unwrap().sync_all().unwrap();

    let mut child = Command::new(env!("CARGO_BIN_EXE_licen"))
        .args([
            "--json",
            "publish",
            "rows.jsonl",
            "--name",
            "n",
            "--royalty",
            "1",
            "--purpose",
            "p",
            "--dry-run",
        ])
        .current_dir(dir.path())
        .env("LICEN_STATE", dir.path().join("state"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0.0;
    while child.try_wait().unwrap().is_none() {
        peak = peak_mib(child.id()).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(done["rows"], rows);
    assert_eq!(done["bytes"], rows * row.len());
    eprintln!("{mib} MiB published in {} s with {peak:.0} MiB of memory at most", done["seconds"]);
    assert!(peak > 1.0 && peak < MOST_MIB, "{peak} MiB at most");
    assert_eq!(std::fs::read_dir(dir.path().join("state")).unwrap().count(), 0, "nothing is left");
}
