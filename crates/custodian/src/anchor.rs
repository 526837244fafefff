//! The head of the audit log, for the chain: once it is anchored there, a log that was cut, rolled back or
//! written anew can be told from the one that was.

use licen_core::primitives::B256;

use crate::config::Config;
use crate::contracts::Connection;
use crate::error::Error;
use crate::run::open_store;

/// The last record's sequence, from 1, and its hash; `None` for an empty log.
///
/// # Errors
/// [`Error::AuditBroken`] for a log that does not verify; see [`Error`].
pub async fn head(config: &Config) -> Result<Option<(u64, B256)>, Error> {
    config.check().map_err(Error::Config)?;
    let connection = Connection::open(config).await?;
    connection.served(config).await?;
    let store = open_store(&config.state_dir, &connection.store_identity()).await?;
    if let Some(sequence) = store.verify_audit().await? {
        return Err(Error::AuditBroken(sequence));
    }
    let head = store.audit_head().await?.map(|entry| (entry.seq, entry.hash));
    store.close().await;
    Ok(head)
}
