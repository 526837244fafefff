//! Tree speed of every kernel this machine can run, beside the `sha3` crate, in one run and in CPU
//! time. One JSON line each. `cargo run --release -p licen-storage --example bench_tree [-- MiB]`
#![allow(clippy::print_stdout)]

use licen_core::merkle::{CHUNK_BYTES, FileTreeBuilder, Hasher};
use licen_core::primitives::B256;
use licen_storage::keccak::Keccak;
use rustix::time::{ClockId, clock_gettime};
use sha3::{Digest, Keccak256};

const RUNS: usize = 7;

/// The peer: the `sha3` crate, one hash after the other.
struct Sha3;

impl Hasher for Sha3 {
    fn hash_chunks(&self, chunks: &[u8], out: &mut [[u8; 32]]) {
        for (chunk, out) in chunks.chunks_exact(CHUNK_BYTES).zip(out) {
            *out = Keccak256::digest(chunk).into();
        }
    }

    fn hash_pairs(&self, nodes: &[[u8; 32]], out: &mut [[u8; 32]]) {
        for (pair, out) in nodes.as_flattened().chunks_exact(64).zip(out) {
            *out = Keccak256::digest(pair).into();
        }
    }
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn tree_seconds(hasher: &dyn Hasher, data: &[u8]) -> (f64, B256) {
    let start = cpu_seconds();
    let mut builder = FileTreeBuilder::new(hasher);
    builder.update(data);
    let tree = std::hint::black_box(builder.finish().expect("not empty"));
    (cpu_seconds() - start, tree.root)
}

fn main() {
    let mib = std::env::args().nth(1).map_or(64, |arg| arg.parse().expect("a number of MiB"));
    let data: Vec<u8> = (0..mib << 20).map(|i: usize| (i * 31 + 7) as u8).collect();
    let kernels = [Some(Keccak::scalar()), Keccak::avx2(), Keccak::avx512()];
    let mut subjects: Vec<(&str, Box<dyn Hasher>, Vec<f64>)> = vec![("sha3", Box::new(Sha3), vec![])];
    for keccak in kernels.into_iter().flatten() {
        subjects.push((keccak.name(), Box::new(keccak), vec![]));
    }
    let mut root = None;
    // Interleaved, so that a busy neighbour slows every subject alike.
    for _ in 0..RUNS {
        for (_, hasher, seconds) in &mut subjects {
            let (took, found) = tree_seconds(&**hasher, &data);
            seconds.push(took);
            assert!(*root.get_or_insert(found) == found, "every kernel finds the same root");
        }
    }
    let median = |seconds: &[f64]| {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let sha3 = median(&subjects[0].2);
    let root = root.expect("there were runs");
    for (name, _, seconds) in &subjects {
        let seconds = median(seconds);
        let rate = data.len() as f64 / seconds / 1e9;
        let ratio = sha3 / seconds;
        println!(
            r#"{{"bench":"tree","kernel":"{name}","mib":{mib},"runs":{RUNS},"gbPerCpuSecond":{rate:.3},"timesSha3":{ratio:.2},"root":"{root}"}}"#
        );
    }
}
