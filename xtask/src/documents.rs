//! `cargo xtask documents`: manifests as strangers read them. The command itself writes some, the golden
//! ones lie in `vectors/manifests`; Croissant's validator and a JSON-LD library read both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Outcome, cargo, root, run, target};

const ROWS: &str =
    "{\"text\":\"The heron waits.\"}\n{\"prompt\":\"Who waits?\",\"completion\":\"The heron.\"}\n";
const LICENSE: &str = "No use in weapons.\n\nNo resale of what the model says.\n";
const ALLOW: &str = "# labs\n0x0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e\n";
/// Flags that each say something else to the public, by the name of the manifest they make.
const FLAGS: [(&str, &[&str]); 11] = [
    ("no_flags", &[]),
    ("epochs", &["--max-epochs", "4294967295"]),
    ("runs", &["--max-runs", "1"]),
    ("level", &["--level", "software"]),
    ("purposes", &["--purpose", "teaching, in schools", "--purpose", "MÜLL/abfuhr"]),
    ("expiry", &["--expires", "1800000000"]),
    ("price", &["--royalty", "340282366920938463463"]),
    ("preview", &["--preview", "2"]),
    ("by_approval", &["--by-approval"]),
    ("allow", &["--allow", "allow.txt"]),
    (
        "all_flags",
        &[
            "--description",
            "Two rows: \"one\" & <two>.\nIn two lines.",
            "--language",
            "en",
            "--language",
            "de-CH",
            "--task",
            "question-answering",
            "--task",
            "summarization",
            "--keyword",
            "birds",
            "--keyword",
            "ünï",
            "--license-text",
            "license.txt",
            "--contact",
            "data@example.org",
            "--purpose",
            "teaching",
            "--max-epochs",
            "9",
            "--max-runs",
            "2",
            "--expires",
            "253402300800",
            "--payee",
            "0x0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e",
            "--max-rank",
            "8",
            "--max-steps",
            "100",
            "--preview",
            "1",
        ],
    ),
];

/// Writes manifests and has all of them checked.
pub(crate) fn documents() -> Outcome {
    let mut python = Command::new("python3");
    let known = python.args(["-c", "import mlcroissant, pyld"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        let hint = "in a virtual environment: pip install -r xtask/documents/requirements.txt";
        return Err(format!("python3 has no mlcroissant or PyLD\n\nhint: {hint}"));
    }
    run("cargo build", cargo().args(["build", "--quiet", "-p", "licen"]))?;
    let mut manifests = golden()?;
    manifests.extend(published()?);
    let mut check = Command::new("python3");
    check.current_dir(root()).arg("xtask/documents/check.py").args(&manifests);
    run(&format!("check {} manifests", manifests.len()), &mut check)
}

fn golden() -> Result<Vec<PathBuf>, String> {
    let dir = root().join("vectors/manifests");
    let files = fs::read_dir(&dir).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut files: Vec<PathBuf> = files.map_err(at(&dir))?.into_iter().map(|entry| entry.path()).collect();
    files.sort();
    if files.is_empty() { Err(format!("{} is empty", dir.display())) } else { Ok(files) }
}

/// What the command writes, once for each of [`FLAGS`].
fn published() -> Result<Vec<PathBuf>, String> {
    let dir = target().join("documents");
    fs::create_dir_all(&dir).map_err(at(&dir))?;
    for (name, text) in [("rows.jsonl", ROWS), ("license.txt", LICENSE), ("allow.txt", ALLOW)] {
        fs::write(dir.join(name), text).map_err(at(&dir))?;
    }
    let mut written = Vec::new();
    for (name, flags) in FLAGS {
        let file = dir.join(format!("{name}.json"));
        let _ = fs::remove_file(&file);
        let mut licen = Command::new(target().join("debug/licen"));
        licen.current_dir(&dir).env("LICEN_STATE", &dir);
        licen.args(["--quiet", "publish", "rows.jsonl", "--name", "Herons", "--purpose", "research"]);
        if !flags.contains(&"--royalty") {
            licen.args(["--royalty", "0.01"]);
        }
        licen.args(flags).arg("--dry-run").arg("--manifest").arg(&file);
        run(&format!("licen publish, {name}"), &mut licen)?;
        written.push(file);
    }
    Ok(written)
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> String {
    let path = path.display().to_string();
    move |e| format!("{path}: {e}")
}
