//! Golden transcripts of commands that need no world.

use std::path::Path;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};

fn licen(args: &[&str], dir: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_licen"))
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .env_remove("LICEN_CONFIG")
        .stdin(Stdio::null())
        .output()
        .expect("licen runs");
    format!(
        "{}{}exit {}\n",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().unwrap_or(-1)
    )
}

fn check(args: &[&str], expected: Expect) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty"), b"").unwrap();
    let pattern: Vec<u8> = (0..257u32).map(|i| ((i * 31 + 7) % 256) as u8).collect();
    std::fs::write(dir.path().join("pattern257"), pattern).unwrap();
    expected.assert_eq(&licen(args, dir.path()));
}

#[test]
fn storage_root_prints_one_line() {
    check(
        &["storage", "root", "pattern257"],
        expect![[r#"
            0x7ea7520214ca45edb7f0f74f219e68b1c07ccebd02bf44e83503e264733021c6
            exit 0
        "#]],
    );
}

#[test]
fn storage_root_of_an_empty_file_is_refused() {
    check(
        &["storage", "root", "empty"],
        expect![[r#"
            error: empty is empty [LIC0201]

            hint: 0G has no root for an empty file; give a file with at least one byte
            exit 1
        "#]],
    );
}

#[test]
fn storage_root_of_a_missing_file_is_an_environment_error() {
    check(
        &["storage", "root", "nowhere"],
        expect![[r#"
            error: cannot read nowhere [LIC0103]
              because: cannot read or write nowhere
              because: No such file or directory (os error 2)
            exit 2
        "#]],
    );
}

#[test]
fn explain_says_what_a_code_means() {
    check(
        &["explain", "lic0207"],
        expect![[r#"
            LIC0207: the policy refuses the request

            The owner's policy does not allow this request; the message names the rule. Nothing was paid.
            exit 0
        "#]],
    );
}

#[test]
fn an_unknown_code_is_a_usage_error() {
    check(
        &["explain", "LIC9999"],
        expect![[r#"
            error: no such code: LIC9999 [LIC0101]

            hint: licen explain LIC0207
            exit 2
        "#]],
    );
}

#[test]
fn an_unknown_setting_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("licen.toml"), "nodes = \"x\"\n").unwrap();
    expect![[r#"
        error: licen.toml: unknown setting "nodes" [LIC0102]

        hint: settings are node, rpc, confirmations, deployment, wallet, state, custodian_set, appraisal_policy, color
        exit 2
    "#]]
    .assert_eq(&licen(&["config"], dir.path()));
}

#[test]
fn a_node_that_is_down_is_an_environment_error() {
    let dir = tempfile::tempdir().unwrap();
    // Port 9 (discard) has no listener on a test machine.
    let said = licen(&["--node", "http://127.0.0.1:9", "search"], dir.path());
    assert!(said.starts_with("error: the node at http://127.0.0.1:9 does not answer [LIC0901]\n"), "{said}");
    assert!(said.contains("\nhint: licen run node"), "{said}");
    assert!(said.ends_with("exit 2\n"), "{said}");
}

#[test]
fn roots_of_the_shared_vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/zg_roots.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for vector in vectors["roots"].as_array().unwrap() {
        let (Some(size), Some(root)) = (vector["size"].as_u64(), vector["root"].as_str()) else { continue };
        if size > 1 << 20 {
            continue;
        }
        let bytes: Vec<u8> = (0..size).map(|i| ((i * 31 + 7) % 256) as u8).collect();
        std::fs::write(dir.path().join("file"), bytes).unwrap();
        assert_eq!(
            licen(&["storage", "root", "file"], dir.path()),
            format!("{root}\nexit 0\n"),
            "size {size}"
        );
        checked += 1;
    }
    assert!(checked >= 20, "only {checked} vectors");
}
