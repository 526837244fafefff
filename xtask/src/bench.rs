//! Measurements beside their peers. Each prints JSON lines; nothing here passes or fails.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use crate::run::{Outcome, cargo, root, run, target};

const SDK_MIB: usize = 16;
const ROW_BYTES: [usize; 2] = [200, 1_024];
const PUBLISH_ROUNDS: usize = 5;
/// Size of the file that `bench publish` publishes, where none is given.
pub(crate) const PUBLISH_MIB: usize = 256;

/// `cargo xtask bench WHAT`.
pub(crate) fn bench(args: &[String]) -> Outcome {
    let example = |package: &str, name: &str, rest: &[String]| {
        run(
            &format!("bench {name}"),
            cargo().args(["run", "--quiet", "--release", "-p", package, "--example", name, "--"]).args(rest),
        )
    };
    match args.split_first() {
        Some((what, [flag])) if what == "storage" && flag == "--sdk" => {
            // As much as the SDK does in seconds; the same bytes for both, so the roots can be compared.
            example("licen-storage", "bench_tree", &[SDK_MIB.to_string()])?;
            sdk()
        }
        Some((what, rest)) if what == "storage" => example("licen-storage", "bench_tree", rest),
        Some((what, rest)) if what == "seal" => example("licen-seal", "bench_stream", rest),
        Some((what, rest)) if what == "attest" => example("licen-attest", "bench_attest", rest),
        Some((what, rest)) if what == "train" => example("licen-train", "bench_train", rest),
        Some((what, rest)) if what == "publish" => publish(rest),
        _ => Err("bench what?\n\nhint: cargo xtask bench storage".into()),
    }
}

/// The official SDK from npm, in a folder of its own under target/.
fn sdk() -> Outcome {
    let dir = target().join("bench/sdk");
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts", "--prefix", "."]);
    run("npm install", npm.args(["@0gfoundation/0g-ts-sdk@1.2.8", "ethers@6"]).current_dir(&dir))?;
    let script = root().join("crates/storage/examples/bench_tree_sdk.mjs");
    let mut node = Command::new("node");
    run("bench 0g-ts-sdk", node.arg(script).arg(SDK_MIB.to_string()).current_dir(&dir))
}

/// Reads, checks, commits to, encrypts, hashes and writes a generated file of `--size` MiB, as `licen
/// publish --dry-run` does, beside its parts alone, in turns. The peak of its memory must not depend on the size.
fn publish(args: &[String]) -> Outcome {
    let mebibytes: usize = match args {
        [] => PUBLISH_MIB,
        [flag, size] if flag == "--size" => size.parse().map_err(|_| format!("--size {size}: not MiB"))?,
        _ => return Err("usage: cargo xtask bench publish [--size MIB]".into()),
    };
    let dir = target().join("bench");
    let file = dir.join("rows.jsonl");
    let build =
        ["build", "--quiet", "--release", "-p", "licen", "--bin", "licen", "--example", "bench_publish"];
    run("cargo build --release", cargo().args(build))?;
    for row_bytes in ROW_BYTES {
        std::fs::create_dir_all(&dir)
            .and_then(|()| write_rows(&file, row_bytes, mebibytes << 20))
            .map_err(|e| format!("{}: {e}", file.display()))?;
        let mut python = Command::new("python3");
        python.current_dir(root()).env("LICEN_STATE", &dir).args(["-c", PUBLISH]).arg(&file);
        python.args([row_bytes, mebibytes, PUBLISH_ROUNDS].map(|n| n.to_string()));
        python.arg(target().join("release/examples/bench_publish")).arg(target().join("release/licen"));
        let done = run("bench publish", &mut python);
        let _ = std::fs::remove_file(&file);
        done?;
    }
    Ok(())
}

/// Runs the parts and the command in turns, so that a busy neighbour slows both alike, and prints medians.
const PUBLISH: &str = r#"import json, resource, statistics, subprocess, sys, time
file, row, mib, rounds, parts, licen = sys.argv[1:]
used = lambda: resource.getrusage(resource.RUSAGE_CHILDREN)
def output(*command):
    before, clock = used().ru_utime, time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout), used().ru_utime - before, time.monotonic() - clock
median = lambda values: round(statistics.median(values), 3)
apart, user, clock, said = [], [], [], None
for _ in range(int(rounds)):
    apart.append(output(parts, row, mib)[0])
    said, seconds, elapsed = output(licen, "--json", "publish", file, "--name", "bench",
        "--royalty", "1", "--purpose", "bench", "--dry-run")
    user.append(said["bytes"] / seconds / 1e9)
    clock.append(said["bytes"] / elapsed / 1e9)
peak = round(used().ru_maxrss / 1024)
each = {name: median(run[name] for run in apart) for name in ("json", "rows", "encrypt", "root", "sum")}
print(json.dumps({"bench": "publish", "rowBytes": int(row), "bytes": said["bytes"], "rounds": int(rounds),
    "peakMib": peak, "gbPerUserCpuSecond": median(user), "gbPerSecond": median(clock), "parts": each,
    "ofSum": round(statistics.median(user) / each["sum"], 2), "keccak": apart[0]["keccak"]}))"#;

/// Rows of `row_bytes` whose letters come from a fixed seed.
fn write_rows(path: &Path, row_bytes: usize, bytes: usize) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 1_u64;
    let frame = "{\"text\":\"\"}\n".len();
    let mut row = Vec::with_capacity(row_bytes);
    for _ in 0..bytes / row_bytes {
        row.clear();
        row.extend_from_slice(b"{\"text\":\"");
        for _ in 0..row_bytes - frame {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            row.push(b'a' + (state >> 59) as u8 % 26);
        }
        row.extend_from_slice(b"\"}\n");
        out.write_all(&row)?;
    }
    out.flush()
}
