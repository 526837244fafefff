//! `cargo xtask bench attest`: what one appraisal costs, in CPU time of its thread, with genuine
//! evidence. Rounds are interleaved and medians printed, so that a busy machine disturbs all alike.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use licen_attest::{Collateral, ReferenceValues, examine};

const ROUNDS: usize = 15;
const REPEATS: u32 = 20;

struct Case {
    name: &'static str,
    evidence: Vec<u8>,
    collateral: Collateral,
    at: u64,
}

fn main() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/attest");
    let read = |name: &str| fs::read(folder.join(name)).expect("vectors/attest is in the repository");
    let collateral = |name: &str| Collateral::from_file(&read(name)).expect("a sample's collateral");
    let case = |name, evidence, file: &str, at| Case { name, evidence, collateral: collateral(file), at };
    let report = String::from_utf8(read("report_milan.hex")).expect("hex text");
    let report = hex::decode(report.trim()).expect("hex text");
    let cases = [
        case("tdx", read("tdx_quote"), "tdx_quote_collateral.json", 1_752_919_234),
        case("sgx", read("sgx_quote"), "sgx_quote_collateral.json", 1_752_919_234),
        case("snp, chip certificate known", report, "vcek_milan.der", 1_752_919_234),
    ];
    let values = ReferenceValues::simulated("bench", Vec::new());
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); cases.len()];
    for _ in 0..=ROUNDS {
        for (case, times) in cases.iter().zip(&mut times) {
            let before = cpu_time();
            for _ in 0..REPEATS {
                let found = examine(&case.evidence, &case.collateral, &values, case.at);
                assert!(found.claims.is_some(), "{}: {:?}", case.name, found.refusal);
            }
            times.push((cpu_time() - before) / REPEATS);
        }
    }
    for (case, times) in cases.iter().zip(&mut times) {
        // The first round verified the chain of the chip's certificate and filled the caches.
        times.remove(0);
        times.sort();
        let milliseconds = times[ROUNDS / 2].as_secs_f64() * 1_000.0;
        println!(
            "{{\"bench\":\"attest\",\"evidence\":\"{}\",\"cpuMilliseconds\":{milliseconds:.3}}}",
            case.name
        );
    }
}

/// CPU time of this thread (`schedstat`, nanoseconds on the processor).
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has schedstat");
    let nanoseconds = stat.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
    Duration::from_nanos(nanoseconds)
}
