//! `licen export`: the owner's own rows, out of storage.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use licen_seal::DatasetKey;
use licen_seal::stream::{StreamAad, ciphertext_len, dataset_aad, decrypt};
use serde_json::json;

use crate::cli::ExportArgs;
use crate::owner::recovery::recovered_key;
use crate::session::error::{CliError, Outcome};
use crate::session::manifest::manifest;
use crate::session::{Session, codes};

/// Downloads the ciphertext, verified against the dataset's root, and decrypts it into a new file.
///
/// # Errors
/// No such dataset, not its key, or a file that exists; nothing is left behind.
pub async fn export(session: &Session, args: &ExportArgs) -> Outcome {
    let shown = args.out.display();
    if args.out.exists() {
        return Err(CliError::environment(codes::FILE, format!("{shown} exists already"))
            .hint("--out with another file: nothing is overwritten"));
    }
    let chain_id = session.chain().await?.domain().chain_id;
    let dataset = session.dataset(&args.dataset).await?;
    // A 0G root says nothing about zeros behind a file, so its end comes from the manifest.
    let length = ciphertext_len(manifest(session, &dataset).await?.byte_count());
    let length = length
        .ok_or_else(|| CliError::refused(codes::STORAGE, "no dataset is as long as its manifest says"))?;
    let policy = dataset.policy;
    let key = recovered_key(&args.recovery, chain_id, policy.datasetUid)?;
    let cipher = session.config.state_dir()?.join(format!("export-{}.bin", policy.datasetUid));
    session.get_file(policy.datasetRoot, &cipher).await?;
    let aad = dataset_aad(chain_id, &policy.datasetUid);
    let opened = open(&key, &aad, &cipher, length, &args.out);
    let _ = std::fs::remove_file(&cipher);
    let bytes = opened?;
    session.ui.progress(&format!("{bytes} bytes of rows, as they were published"));
    session.ui.record(&json!({"datasetUid": policy.datasetUid, "bytes": bytes, "out": args.out}));
    session.ui.data(&shown.to_string());
    Ok(())
}

fn open(key: &DatasetKey, aad: &StreamAad, cipher: &Path, length: u64, out: &Path) -> Outcome<u64> {
    let failed = |e: &dyn std::error::Error| {
        CliError::environment(codes::FILE, format!("cannot write {}", out.display())).because(e)
    };
    let mut source = BufReader::new(File::open(cipher).map_err(|e| failed(&e))?.take(length));
    let file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(|e| failed(&e))?;
    let mut sink = BufWriter::new(file);
    let bytes = decrypt(key, aad, &mut source, &mut sink)
        .map_err(|e| CliError::of(codes::SEAL, "the dataset does not open", &e))
        .and_then(|bytes| {
            let kept = sink.flush().and_then(|()| sink.get_ref().sync_all());
            kept.map(|()| bytes).map_err(|e| failed(&e))
        });
    if bytes.is_err() {
        let _ = std::fs::remove_file(out);
    }
    bytes
}
