//! The parts of publishing, one beside the other on the same piece of rows while it is in cache, in CPU
//! time of one thread: what `licen publish` would run at if passing rows on cost nothing. One JSON line.
//! `cargo run --release -p licen --example bench_publish -- ROW_BYTES MIB`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::{self, Write};

use licen_core::merkle::FileTreeBuilder;
use licen_core::primitives::B256;
use licen_core::rows::{RowError, RowScanner};
use licen_seal::DatasetKey;
use licen_seal::rows::{RowCommitter, RowsKey};
use licen_seal::stream::{Encryptor, dataset_aad};
use licen_storage::keccak::Keccak;
use rustix::time::{ClockId, clock_gettime};

const PIECE_BYTES: usize = 256 * 1024;
const PARTS: [&str; 4] = ["json", "rows", "encrypt", "root"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let (Some(row), Some(mib)) = (args.next().transpose()?, args.next().transpose()?) else {
        return Err("usage: bench_publish ROW_BYTES MIB".into());
    };
    let piece = lines(row, PIECE_BYTES / row);
    let pieces = (mib << 20) / piece.len();
    let each: Vec<&[u8]> = piece.chunks_exact(row).map(|line| &line[..row - 1]).collect();
    let batches: Vec<&[&[u8]]> = each.chunks(64).collect();
    let key = DatasetKey::generate()?;
    let mut scanner = RowScanner::default();
    let mut rows = RowCommitter::new(RowsKey::derive(&key, &B256::ZERO), 0);
    let mut encryptor = Encryptor::new(&key, &dataset_aad(0, &B256::ZERO), Swallow)?;
    let mut tree = FileTreeBuilder::new(Keccak::detect());
    let mut seconds = [0.0; PARTS.len()];
    for _ in 0..pieces {
        let mut began = cpu_seconds();
        let mut ended = |part: usize| {
            let now = cpu_seconds();
            seconds[part] += now - std::mem::replace(&mut began, now);
        };
        let mut sink = |_, batch: &[&[u8]]| {
            std::hint::black_box(batch);
            Ok::<(), RowError>(())
        };
        scanner.feed(&piece, &mut sink)?;
        ended(0);
        batches.iter().for_each(|batch| rows.push(batch));
        ended(1);
        encryptor.write_all(&piece)?;
        ended(2);
        tree.update(&piece);
        ended(3);
    }
    std::hint::black_box((rows.finish()?, tree.finish()?));
    let rate = |seconds: f64| (pieces * piece.len()) as f64 / seconds / 1e9;
    let each = PARTS.iter().zip(seconds).map(|(name, seconds)| format!(r#""{name}":{:.3}"#, rate(seconds)));
    let (each, sum) = (each.collect::<Vec<_>>().join(","), rate(seconds.iter().sum()));
    println!(r#"{{"rowBytes":{row},{each},"sum":{sum:.4},"keccak":"{}"}}"#, Keccak::detect().name());
    Ok(())
}

/// Rows whose letters come from a fixed seed.
fn lines(row: usize, count: usize) -> Vec<u8> {
    let (start, end) = (b"{\"text\":\"", b"\"}\n");
    let mut state = 1_u64;
    let mut text = Vec::with_capacity(row * count);
    for _ in 0..count {
        text.extend_from_slice(start);
        for _ in 0..row - start.len() - end.len() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(b'a' + (state >> 59) as u8 % 26);
        }
        text.extend_from_slice(end);
    }
    text
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

struct Swallow;

impl Write for Swallow {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
