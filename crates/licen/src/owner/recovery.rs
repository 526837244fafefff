//! The owner's recovery file: the dataset key, under a passphrase that stands in a file of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use licen_core::primitives::B256;
use licen_seal::recovery::load_recovery;
use licen_seal::{DatasetKey, SealError};
use zeroize::Zeroizing;

use crate::cli::RecoveryArgs;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// The key of exactly this dataset.
///
/// # Errors
/// The file, the passphrase, or the key of another dataset.
pub fn recovered_key(args: &RecoveryArgs, chain_id: u64, uid: B256) -> Outcome<DatasetKey> {
    let shown = args.recovery.display();
    let passphrase = read_passphrase(&args.passphrase_file)?;
    let recovered = load_recovery(&args.recovery, &passphrase).map_err(|e| {
        let refused = match &e {
            SealError::Passphrase => CliError::refused(codes::SEAL, format!("{shown} does not open")),
            _ => CliError::environment(codes::KEY_FILE, format!("{shown} was refused")),
        };
        refused
            .because(&e)
            .hint("--recovery with the file that publish wrote, --passphrase-file with its passphrase")
    })?;
    if recovered.chain_id != chain_id || recovered.dataset_uid != uid {
        let message = format!("{shown} holds the key of dataset {}", recovered.dataset_uid);
        return Err(CliError::refused(codes::SEAL, message)
            .because(&std::io::Error::other(format!("this is {uid} on chain {chain_id}")))
            .hint("licen search shows every dataset's uid with --json"));
    }
    Ok(recovered.key)
}

/// A passphrase out of a file that nobody else can read.
///
/// # Errors
/// The file cannot be read, is open to others, or is empty.
pub fn read_passphrase(file: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    let shown = file.display();
    let cannot = |e| CliError::environment(codes::FILE, format!("cannot read {shown}")).because(&e);
    let mode = std::fs::metadata(file).map_err(cannot)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(CliError::environment(codes::FILE, format!("others may read the passphrase in {shown}"))
            .hint(format!("chmod 600 {shown}")));
    }
    let text = Zeroizing::new(std::fs::read(file).map_err(cannot)?);
    let passphrase = Zeroizing::new(text.trim_ascii_end().to_vec());
    if passphrase.is_empty() {
        return Err(CliError::environment(codes::USAGE, format!("the passphrase in {shown} is empty"))
            .hint("write a passphrase of several words into it"));
    }
    Ok(passphrase)
}
