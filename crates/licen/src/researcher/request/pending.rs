//! A request that is being paid, on disk from before its transaction until its job is known: repeating
//! the command after a crash must find that job, not pay for a second one.

use std::io::Write;
use std::path::{Path, PathBuf};

use licen_chain::Journal;
use licen_chain::sender::{End, Mined};
use licen_core::abi::{Admission, DataPolicy, Policy, Request, SignedQuote};
use licen_core::primitives::{Address, B256, U256};
use licen_core::wire::AbiHex;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::quote::Quoted;
use crate::researcher::result_key::key_dir;
use crate::session::chain_view::ChainView;
use crate::session::error::{CliError, Outcome};
use crate::session::sending::send_error;
use crate::session::{Session, codes};

/// Everything that finishing it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Pending {
    /// The `DataPolicy` it is paid to.
    pub contract: Address,
    /// The terms agreed to.
    pub policy: AbiHex<Policy>,
    /// What was asked.
    pub request: AbiHex<Request>,
    /// The provider's price, where the request names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<Quoted>,
    /// The requester's counter before it.
    pub counter: u64,
    /// Fresh for every try: a given result key and an unchanged counter may serve several.
    pub nonce: B256,
    /// The result key.
    pub key_file: PathBuf,
    /// What lets the requester pass, where the policy is not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<AbiHex<Admission>>,
}

impl Pending {
    /// Names its transaction for ever, and no other try's: the journal must answer for this one.
    pub fn label(&self) -> String {
        let (contract, uid) = (self.contract, self.policy.0.datasetUid);
        format!("request:{contract}:{uid}:{}:{}", self.counter, self.nonce)
    }

    /// Sends it, or goes on with what was sent.
    ///
    /// # Errors
    /// The contract refuses, or the chain does not answer.
    pub async fn send(&self, session: &Session, chain: &ChainView, price: U256) -> Outcome<Mined> {
        let (label, contract) = (self.label(), chain.contract());
        let (policy, request) = (self.policy.0.clone(), self.request.0.clone());
        if self.admission.is_none() && self.quoted.is_none() {
            let call = DataPolicy::requestAccess_0Call { policy, request };
            return session.send(&label, contract, &call, price).await;
        }
        let quote = self.quoted.as_ref().map_or_else(SignedQuote::default, |quoted| quoted.signed.0.clone());
        let admission = self.admission.clone().unwrap_or_default().0;
        let call = DataPolicy::requestAccess_1Call { policy, request, quote, admission };
        session.send(&label, contract, &call, price).await
    }

    /// What this wallet began to request of a dataset and never heard the end of.
    ///
    /// # Errors
    /// The file or the journal cannot be read.
    pub async fn of(session: &Session, contract: Address, dataset_uid: B256) -> Outcome<Option<Self>> {
        let path = file(session, contract, dataset_uid)?;
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&path).because(&error)),
        };
        let pending: Self = serde_json::from_slice(&bytes).map_err(|e| unusable(&path).because(&e))?;
        let sender = session.sender(session.chain().await?.rpcs())?;
        let kept = sender.journal().load(&pending.label()).await.map_err(|e| send_error(e.into()))?;
        let lives = kept.is_some_and(|(intent, _)| {
            // Reverted or displaced: nothing was paid.
            intent.outcome.is_none_or(|outcome| outcome.end == End::Succeeded)
        });
        if !lives {
            pending.forget(session);
            return Ok(None);
        }
        Ok(Some(pending))
    }

    /// Keeps it, before anything is sent.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, session: &Session) -> Outcome {
        let path = file(session, self.contract, self.policy.0.datasetUid)?;
        self.write(&path).map_err(|e| {
            CliError::environment(codes::FILE, format!("cannot write {}", path.display())).because(&e)
        })
    }

    /// Durable before the transaction is: a power cut between them must not lose what was paid.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut beside = NamedTempFile::new_in(dir)?;
        beside.write_all(&serde_json::to_vec(self)?)?;
        beside.as_file().sync_all()?;
        beside.persist(path)?;
        std::fs::File::open(dir)?.sync_all()
    }

    /// Its end is known. What another process began since stays, and so does a file that cannot be
    /// removed: the next run tells its job once more.
    pub fn forget(&self, session: &Session) {
        let Ok(path) = file(session, self.contract, self.policy.0.datasetUid) else { return };
        let kept = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        if kept.as_ref() == Some(self)
            && let Err(error) = std::fs::remove_file(&path)
        {
            session.ui.warn(&format!("cannot remove {}: {error}", path.display()));
        }
    }
}

fn file(session: &Session, contract: Address, dataset_uid: B256) -> Outcome<PathBuf> {
    let wallet = session.wallet()?.address();
    Ok(key_dir(session)?.join(format!("request-{wallet}-{contract}-{dataset_uid}.json")))
}

fn unusable(path: &Path) -> CliError {
    CliError::environment(codes::FILE, format!("{} is not usable", path.display()))
        .hint("it names a request that may have been paid: licen jobs, then remove the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a revert the next try has the same counter, and with a given result key the same request: the
    /// journal's word on the first must not be taken for the second.
    #[test]
    fn two_tries_with_one_key_are_two_labels() {
        let attempt = |nonce: u8| Pending {
            contract: Address::repeat_byte(1),
            policy: AbiHex(Policy::default()),
            request: AbiHex(Request { resultKey: B256::repeat_byte(2), ..Request::default() }),
            quoted: None,
            counter: 3,
            nonce: B256::repeat_byte(nonce),
            key_file: PathBuf::from("given.key"),
            admission: None,
        };
        assert_ne!(attempt(1).label(), attempt(2).label());
        assert_eq!(attempt(1).label(), attempt(1).label(), "what was kept is found again");
    }
}
