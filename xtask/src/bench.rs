//! Measurements beside their peers. Each prints JSON lines; nothing here passes or fails.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use crate::run::{Outcome, cargo, root, run, target};

const SDK_MIB: usize = 16;
const ROW_BYTES: usize = 1_024;
/// Size of the file that `bench publish` publishes, where none is given.
pub(crate) const PUBLISH_MIB: usize = 1_024;

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
        Some((what, rest)) if what == "train" => example("licen-compute", "bench_train", rest),
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
/// publish --dry-run` does. The peak of its memory must not depend on the size.
fn publish(args: &[String]) -> Outcome {
    let mebibytes: usize = match args {
        [] => PUBLISH_MIB,
        [flag, size] if flag == "--size" => size.parse().map_err(|_| format!("--size {size}: not MiB"))?,
        _ => return Err("usage: cargo xtask bench publish [--size MIB]".into()),
    };
    let dir = target().join("bench");
    let file = dir.join("rows.jsonl");
    std::fs::create_dir_all(&dir)
        .and_then(|()| write_rows(&file, mebibytes << 20))
        .map_err(|e| format!("{}: {e}", file.display()))?;
    run("cargo build --release", cargo().args(["build", "--quiet", "--release", "-p", "licen"]))?;
    let script = r#"import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=True)
said = json.loads(done.stdout)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"bench": "publish", "bytes": said["bytes"], "rows": said["rows"], "peakMib": round(peak),
    "gbPerCpuSecond": round(said["bytes"] / said["cpuSeconds"] / 1e9, 3),
    "gbPerSecond": round(said["bytes"] / said["seconds"] / 1e9, 3)}))"#;
    let licen = target().join("release/licen");
    let mut python = Command::new("python3");
    python.current_dir(root()).env("LICEN_STATE", &dir).args(["-c", script]).arg(licen);
    python.args(["--json", "publish"]).arg(&file).args(["--name", "bench", "--royalty", "1"]);
    let done = run("bench publish", python.args(["--purpose", "bench", "--dry-run"]));
    let _ = std::fs::remove_file(&file);
    done
}

/// Rows of 1 KiB whose letters come from a fixed seed.
fn write_rows(path: &Path, bytes: usize) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 1_u64;
    let frame = "{\"text\":\"\"}\n".len();
    let mut row = Vec::with_capacity(ROW_BYTES);
    for _ in 0..bytes / ROW_BYTES {
        row.clear();
        row.extend_from_slice(b"{\"text\":\"");
        for _ in 0..ROW_BYTES - frame {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            row.push(b'a' + (state >> 59) as u8 % 26);
        }
        row.extend_from_slice(b"\"}\n");
        out.write_all(&row)?;
    }
    out.flush()
}
