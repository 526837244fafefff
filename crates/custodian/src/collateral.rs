//! A custodian's own copies of what makers of processors say about their platforms. The operator
//! keeps the directory fresh by whatever means; it is read again every minute, and its expiry is told
//! before it comes. Stale collateral releases nothing: that is a loss of availability by choice.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use licen_attest::Collateral;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::event::Event;
use crate::run::{Message, now_ms};

const REREAD: Duration = Duration::from_secs(60);
/// How often the same alarm is repeated.
const REPEAT: Duration = Duration::from_secs(60 * 60);

/// Reads every file of the directory, by name.
///
/// # Errors
/// A file that cannot be read, or is no collateral.
pub(crate) fn load(dir: &Path) -> Result<Vec<Collateral>, Error> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    let entries = std::fs::read_dir(dir).map_err(at(dir))?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(at(dir))?;
    // An editor's or a downloader's half-written file has a name that starts with a dot.
    files.retain(|path| {
        path.is_file() && path.file_name().is_some_and(|n| !n.as_encoded_bytes().starts_with(b"."))
    });
    files.sort();
    files.iter().map(|path| load_file(path, at(path))).collect()
}

fn load_file(path: &Path, unreadable: impl FnOnce(std::io::Error) -> Error) -> Result<Collateral, Error> {
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let refuse = |source| Error::Collateral { path: path.to_owned(), source };
    let collateral = Collateral::from_file(&bytes).map_err(refuse)?;
    collateral.window().map_err(refuse)?;
    Ok(collateral)
}

/// Says which collateral is about to be worth nothing, or is already.
pub(crate) fn alarm(held: &[Collateral], now: u64) {
    for collateral in held {
        let Ok(Some(window)) = collateral.window() else { continue };
        if now > window.until {
            tracing::error!(
                ?collateral,
                until = window.until,
                "collateral has expired: its platforms get no verdict"
            );
        } else if window.is_alarming(now) {
            let days = (window.until - now) / 86_400;
            tracing::warn!(?collateral, until = window.until, days, "collateral expires soon: fetch it anew");
        }
    }
}

/// Reads the directory again every minute for as long as the custodian runs. A directory that cannot
/// be read changes nothing: what is held expires by itself.
pub(crate) async fn watch(dir: PathBuf, mut held: Vec<Collateral>, inbox: mpsc::WeakSender<Message>) {
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(REREAD).await;
        let from = dir.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || load(&from)).await else { return };
        let changed = match read {
            Ok(read) if read != held => {
                held = read;
                tracing::info!(files = held.len(), "collateral was read anew");
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::error!(%error, "collateral stays as it was");
                false
            }
        };
        if changed || told.elapsed() >= REPEAT {
            told = Instant::now();
            alarm(&held, now_ms() / 1000);
        }
        let Some(inbox) = inbox.upgrade() else { return };
        if changed {
            let event = Event::Collateral(held.clone());
            if inbox.send(Message { event, reply: None, part: None }).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEL: &[u8] = include_bytes!("../../../vectors/attest/tdx_quote_collateral.json");

    #[test]
    fn a_directory_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_empty());
        std::fs::write(dir.path().join("b0c06f000000.json"), INTEL).unwrap();
        std::fs::write(dir.path().join(".b0c06f000000.json.part"), &INTEL[..100]).unwrap();
        assert_eq!(load(dir.path()).unwrap().len(), 1);
        std::fs::write(dir.path().join("other.json"), &INTEL[..100]).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("other.json"), "{error}");
        assert!(load(&dir.path().join("missing")).is_err());
    }
}
