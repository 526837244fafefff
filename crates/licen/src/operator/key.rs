//! `licen key new`.

use std::path::{Path, PathBuf};

use licen_chain::WalletKey;
use licen_seal::{RecipientKey, SigningKey};
use serde_json::json;

use crate::cli::{KeyKind, KeyNewArgs};
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::output::Ui;

/// Makes one key file, or a custodian's two, and prints the public part.
///
/// # Errors
/// The file exists or cannot be written.
pub fn new(ui: &Ui, args: &KeyNewArgs) -> Outcome {
    let public = make(&args.out, args.kind)?;
    ui.record(
        &json!({"kind": format!("{:?}", args.kind).to_lowercase(), "public": public, "file": args.out}),
    );
    ui.data(&public);
    Ok(())
}

/// Makes the files; gives the public part: an address, a key, or a custodian's ADDRESS:KEY.
///
/// # Errors
/// The file exists or cannot be written.
pub fn make(out: &Path, kind: KeyKind) -> Outcome<String> {
    match kind {
        KeyKind::Wallet => {
            let key = WalletKey::generate();
            key.save(out).map_err(|e| unwritten(out, &e))?;
            Ok(key.address().to_string())
        }
        KeyKind::Result => {
            let key = RecipientKey::generate().map_err(|e| unwritten(out, &e))?;
            key.save(out).map_err(|e| unwritten(out, &e))?;
            Ok(key.public().0.to_string())
        }
        KeyKind::Provider => {
            let key = SigningKey::generate().map_err(|e| unwritten(out, &e))?;
            key.save(out).map_err(|e| unwritten(out, &e))?;
            Ok(key.address().to_string())
        }
        KeyKind::Custodian => {
            let (signing_file, recipient_file) = custodian_files(out);
            // Checked before the first is written: half a custodian is of no use.
            if recipient_file.exists() {
                return Err(unwritten(
                    &recipient_file,
                    &std::io::Error::from(std::io::ErrorKind::AlreadyExists),
                ));
            }
            let signing = SigningKey::generate().map_err(|e| unwritten(out, &e))?;
            let recipient = RecipientKey::generate().map_err(|e| unwritten(out, &e))?;
            signing.save(&signing_file).map_err(|e| unwritten(&signing_file, &e))?;
            recipient.save(&recipient_file).map_err(|e| unwritten(&recipient_file, &e))?;
            Ok(format!("{}:{}", signing.address(), recipient.public().0))
        }
    }
}

/// A custodian's key files: FILE.signing and FILE.recipient.
#[must_use]
pub fn custodian_files(base: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix: &str| {
        let mut name = base.as_os_str().to_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    (with(".signing"), with(".recipient"))
}

/// A key file that cannot be made.
fn unwritten(path: &Path, cause: &dyn std::error::Error) -> CliError {
    let shown = path.display();
    if path.exists() {
        let message = format!("{shown} exists already");
        return CliError::environment(codes::KEY_FILE, message).hint("--out with another file");
    }
    CliError::environment(codes::KEY_FILE, format!("cannot write {shown}")).because(cause)
}
