//! A journal in one file per chain and signer, for the command line. Each write replaces the whole
//! file: written beside it, synced, renamed, under a lock that other processes respect.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::intent::{Attempt, Intent, Journal, JournalError, Outcome};
use crate::rpc::ChainIdentity;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    intent: Intent,
    attempts: Vec<Attempt>,
}

/// Keeps the transactions of one signer on one chain.
#[derive(Debug, Clone)]
pub struct FileJournal {
    path: PathBuf,
}

fn storage(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> JournalError {
    JournalError::Storage(error.into())
}

impl FileJournal {
    /// In a directory, which is made if needed. The file's name holds the genesis hash: a private
    /// chain that starts anew has nonces of its own.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(dir: &Path, chain: &ChainIdentity, signer: Address) -> Result<Self, JournalError> {
        fs::create_dir_all(dir).map_err(storage)?;
        let genesis = hex::encode(&chain.genesis_hash[..4]);
        let name = format!("tx-{}-{genesis}-{}.json", chain.chain_id, hex::encode(signer));
        Ok(Self { path: dir.join(name) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> Result<File, JournalError> {
        let file = File::create(self.path.with_extension("lock")).map_err(storage)?;
        file.lock().map_err(storage)?;
        Ok(file)
    }

    fn read(&self) -> Result<Content, JournalError> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(storage),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Content::default()),
            Err(error) => Err(storage(error)),
        }
    }

    fn write(&self, content: &Content) -> Result<(), JournalError> {
        let temporary = self.path.with_extension("tmp");
        let bytes = serde_json::to_vec_pretty(content).map_err(storage)?;
        let mut file = File::create(&temporary).map_err(storage)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(storage)?;
        fs::rename(&temporary, &self.path).map_err(storage)?;
        if let Some(parent) = self.path.parent() {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(storage)?;
        }
        Ok(())
    }

    /// Reads, changes, writes, alone.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let _lock = self.lock()?;
        let mut content = self.read()?;
        let result = change(&mut content)?;
        self.write(&content)?;
        Ok(result)
    }
}

impl Content {
    fn entry(&mut self, idem_key: &str) -> Result<&mut Entry, JournalError> {
        let found = self.entries.iter_mut().find(|e| e.intent.idem_key == idem_key);
        found.ok_or_else(|| storage(format!("no intent {idem_key}")))
    }
}

impl Journal for FileJournal {
    async fn load(&self, idem_key: &str) -> Result<Option<(Intent, Vec<Attempt>)>, JournalError> {
        let content = self.read()?;
        let found = content.entries.into_iter().find(|e| e.intent.idem_key == idem_key);
        Ok(found.map(|e| (e.intent, e.attempts)))
    }

    async fn reserve(&self, intent: &Intent, pending_nonce: u64) -> Result<Intent, JournalError> {
        self.change(|content| {
            if let Ok(entry) = content.entry(&intent.idem_key) {
                let known = &entry.intent;
                let same = (known.chain_id, known.signer, known.to, known.value, &known.data)
                    == (intent.chain_id, intent.signer, intent.to, intent.value, &intent.data);
                let conflict = || JournalError::Conflict { key: intent.idem_key.clone() };
                return same.then(|| known.clone()).ok_or_else(conflict);
            }
            let highest = content.entries.iter().map(|e| e.intent.nonce).max();
            let nonce = highest.map_or(0, |n| n + 1).max(pending_nonce);
            let intent = Intent { nonce, ..intent.clone() };
            content.entries.push(Entry { intent: intent.clone(), attempts: Vec::new() });
            Ok(intent)
        })
    }

    async fn add_attempt(&self, idem_key: &str, attempt: &Attempt) -> Result<(), JournalError> {
        self.change(|content| {
            let entry = content.entry(idem_key)?;
            match entry.attempts.iter().find(|a| a.number == attempt.number) {
                Some(known) if known.hash == attempt.hash => Ok(()),
                Some(_) => Err(JournalError::Conflict { key: idem_key.to_string() }),
                None => {
                    entry.attempts.push(attempt.clone());
                    Ok(())
                }
            }
        })
    }

    async fn finish(&self, idem_key: &str, outcome: &Outcome) -> Result<(), JournalError> {
        self.change(|content| {
            let entry = content.entry(idem_key)?;
            entry.intent.outcome.get_or_insert_with(|| outcome.clone());
            Ok(())
        })
    }

    async fn with_nonce(
        &self,
        chain_id: u64,
        signer: Address,
        nonce: u64,
    ) -> Result<Option<(Intent, Vec<Attempt>)>, JournalError> {
        let ours = |i: &Intent| (i.chain_id, i.signer, i.nonce) == (chain_id, signer, nonce);
        let found = self.read()?.entries.into_iter().find(|e| ours(&e.intent));
        Ok(found.map(|e| (e.intent, e.attempts)))
    }

    async fn open(&self, chain_id: u64, signer: Address) -> Result<Vec<Intent>, JournalError> {
        let content = self.read()?;
        let ours = |i: &Intent| i.chain_id == chain_id && i.signer == signer && i.outcome.is_none();
        let mut open: Vec<Intent> = content.entries.into_iter().map(|e| e.intent).filter(ours).collect();
        open.sort_by_key(|i| i.nonce);
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{B256, Bytes, U256};

    fn intent(key: &str) -> Intent {
        Intent {
            idem_key: key.into(),
            chain_id: 31337,
            signer: Address::repeat_byte(1),
            nonce: 0,
            to: None,
            value: U256::MAX,
            data: Bytes::from(key.as_bytes().to_vec()),
            gas_limit: 1,
            created_ms: 1,
            outcome: None,
        }
    }

    fn journal(dir: &Path) -> FileJournal {
        let chain = ChainIdentity { chain_id: 31337, genesis_hash: B256::repeat_byte(9) };
        FileJournal::open(dir, &chain, Address::repeat_byte(1)).unwrap()
    }

    #[tokio::test]
    async fn nonces_have_no_gap_and_a_key_has_one_content() {
        let dir = tempfile::tempdir().unwrap();
        let first = journal(dir.path());
        assert_eq!(first.reserve(&intent("a"), 3).await.unwrap().nonce, 3);
        let second = journal(dir.path());
        assert_eq!(second.reserve(&intent("b"), 3).await.unwrap().nonce, 4);
        assert_eq!(second.reserve(&intent("a"), 9).await.unwrap().nonce, 3);
        let other = Intent { data: Bytes::new(), ..intent("a") };
        assert!(matches!(second.reserve(&other, 9).await, Err(JournalError::Conflict { .. })));
        assert_eq!(second.open(31337, Address::repeat_byte(1)).await.unwrap().len(), 2);
        assert!(second.open(1, Address::repeat_byte(1)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_half_written_file_is_never_read() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path());
        journal.reserve(&intent("a"), 0).await.unwrap();
        fs::write(journal.path().with_extension("tmp"), b"{\"entr").unwrap();
        assert!(journal.load("a").await.unwrap().is_some());
        journal.reserve(&intent("b"), 0).await.unwrap();
        assert_eq!(journal.load("b").await.unwrap().unwrap().0.nonce, 1);
    }

    #[tokio::test]
    async fn processes_wait_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let journal = journal(dir.path());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(journal.reserve(&intent(&format!("{i}")), 0)).unwrap().nonce
                })
            })
            .collect();
        let mut nonces: Vec<u64> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        nonces.sort_unstable();
        assert_eq!(nonces, (0..8).collect::<Vec<u64>>());
    }
}
