//! Blobs by root, through the node's endpoint. Every byte that comes in is held against its root by
//! the storage client; this only fixes how patient compute is.

use std::path::Path;
use std::time::Duration;

use licen_core::fault::Fault;
use licen_core::merkle::file_tree;
use licen_core::primitives::B256;
use licen_peers::{Http, Timeouts};
use licen_storage::client::{Client, Options};

use super::config::check_url;

/// Longest pause of an answer.
const IDLE: Duration = Duration::from_secs(20);

/// Why a blob did not come or go.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct BlobError {
    message: String,
    lasting: bool,
}

impl BlobError {
    pub(super) fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), lasting: true }
    }

    pub(super) fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), lasting: false }
    }

    /// Whether trying again is useless. A blob that is missing or wrong may still be repaired by
    /// whoever stores it; one that is too large stays so.
    pub(super) fn is_lasting(&self) -> bool {
        self.lasting
    }
}

impl From<licen_storage::Error> for BlobError {
    fn from(error: licen_storage::Error) -> Self {
        let lasting = matches!(error, licen_storage::Error::TooLarge { .. });
        let again = if error.retryable() { " (for now)" } else { "" };
        Self { message: format!("{error} [{}]{again}", error.code()), lasting }
    }
}

/// A blob endpoint.
pub(super) struct Blobs {
    client: Client,
    url: String,
}

impl Blobs {
    /// The endpoint at `url`.
    ///
    /// # Errors
    /// Not a plain http address.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let options = Options { deadline: Duration::from_secs(3_600), attempts: 4, ..Options::default() };
        check_url(url)?;
        let http = Http::new(Timeouts::streaming(IDLE)).map_err(|e| e.to_string())?;
        let client = Client::new(http.to(url), url, options).map_err(|e| e.to_string())?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// Where it is, for custodians that fetch what was stored there.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A small blob.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub(super) async fn get(&self, root: B256, cap: u64) -> Result<Vec<u8>, BlobError> {
        Ok(self.client.get_bytes(root, cap).await?)
    }

    /// A blob of any size to a file, which appears when it was verified; gives its length.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub(super) async fn fetch(&self, root: B256, cap: u64, path: &Path) -> Result<u64, BlobError> {
        Ok(self.client.get_file(root, path, cap, |_, _| {}).await?)
    }

    /// Stores bytes; gives their root.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub(super) async fn put(&self, bytes: Vec<u8>) -> Result<B256, BlobError> {
        let root = file_tree(&bytes).map_err(|e| BlobError::lasting(e.to_string()))?.root;
        self.client.put_bytes(root, bytes).await?;
        Ok(root)
    }

    /// Stores a file; gives its root.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub(super) async fn put_file(&self, path: &Path) -> Result<B256, BlobError> {
        let owned = path.to_path_buf();
        let hashing = tokio::task::spawn_blocking(move || licen_storage::root::of_path(&owned, |_| {}));
        let tree = hashing.await.map_err(|_| BlobError::lasting("hashing broke"))??;
        self.client.put_file(tree.root, path, |_, _| {}).await?;
        Ok(tree.root)
    }
}
