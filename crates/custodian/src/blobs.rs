//! Result blobs, evidence bundles and reports: fetched by HTTP, hashed while they arrive, and kept under their
//! root once a record names them. They are ciphertext and public records; this crate cannot open either.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use licen_core::fault::Party;
use licen_core::merkle::FileTreeBuilder;
use licen_core::primitives::{B256, Bytes};
use licen_peers::url::UrlError;
use licen_peers::{BodyError, CallError, Http, Peer, Timeouts, Why};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, MutexGuard};

use crate::effect::Fetch;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    idle: Some(Duration::from_secs(20)),
    whole: Some(Duration::from_secs(270)),
};

/// The directory of held blobs and the client that fills it.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
    http: Http,
    max_bytes: u64,
    /// Bytes of all files here, also of those that are not held yet.
    used: Arc<AtomicU64>,
    placing: Arc<Mutex<()>>,
}

/// Why there is no blob.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// All the room is taken; nothing was asked of anybody.
    NoRoom,
    /// In words for the operator.
    Failed(String),
}

impl From<String> for FetchError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// A file that goes, and gives its room back, unless it is said to stay.
#[derive(Debug)]
pub(crate) struct Part {
    root: B256,
    path: PathBuf,
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Part {
    /// Takes room before it is filled.
    fn grow(&mut self, bytes: u64, max_bytes: u64) -> bool {
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= max_bytes);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// A record names it now.
    pub(crate) fn stay(mut self) {
        (self.bytes, self.path) = (0, PathBuf::new());
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "a blob that is not held stays until the next start");
        }
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Blobs {
    /// Uses `dir` for at most `max_bytes`, and clears what no record names: half fetched, or fetched
    /// and refused when the process ended.
    pub(crate) async fn open(dir: &Path, max_bytes: u64, named: &[B256]) -> io::Result<Self> {
        fs::create_dir_all(dir).await?;
        let mut used = 0;
        let mut entries = fs::read_dir(dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let root = name.parse::<B256>().ok();
            if name.ends_with(".part") || root.is_some_and(|root| !named.contains(&root)) {
                tracing::info!(%name, "dropping a blob that no record names");
                fs::remove_file(entry.path()).await?;
            } else if root.is_some() {
                used += entry.metadata().await?.len();
            }
        }
        let http = Http::new(TIMEOUTS).map_err(io::Error::other)?;
        let (used, placing) = (Arc::new(AtomicU64::new(used)), Arc::default());
        Ok(Self { dir: dir.to_owned(), http, max_bytes, used, placing })
    }

    /// Where a held blob lies.
    pub(crate) fn path(&self, root: &B256) -> PathBuf {
        self.dir.join(root.to_string())
    }

    /// Fetches a blob unless it is held already, and gives its first bytes. `name` is unique.
    pub(crate) async fn fetch(&self, fetch: &Fetch, name: &str) -> Result<(Bytes, Option<Part>), FetchError> {
        match head_of(&self.path(&fetch.root), fetch.head_bytes).await {
            // What was taken as a large thing is not taken for a small one by its first bytes.
            Ok((_, bytes)) if bytes > fetch.max_bytes => return Err(too_large(fetch).into()),
            Ok((head, _)) => return Ok((head, None)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(disk(&error).into()),
        }
        let used = self.used.load(Ordering::Relaxed);
        if used >= self.max_bytes {
            tracing::error!(used, maxHeldBytes = self.max_bytes, "held results take all their room");
            return Err(FetchError::NoRoom);
        }
        let path = self.dir.join(format!("{}.{name}.part", fetch.root));
        let (head, part) = self.download(fetch, path).await?;
        Ok((head, Some(part)))
    }

    async fn download(&self, fetch: &Fetch, path: PathBuf) -> Result<(Bytes, Part), String> {
        let failed = |error: CallError| unanswered(fetch, &error);
        let server =
            Peer::new(&self.http, &fetch.blob_url, Party::Storage, fetch.max_bytes).map_err(failed)?;
        let (status, mut body) = server.open(&format!("/v1/blobs/{}", fetch.root)).await.map_err(failed)?;
        if !status.is_success() {
            return Err(format!("blob {} was answered with {status}", fetch.root));
        }
        let unread = |error: BodyError| match error {
            BodyError::TooLarge(_) => too_large(fetch),
            BodyError::Cut(_) => format!("fetching a blob: {error}"),
        };
        let mut file = File::create_new(&path).await.map_err(|e| disk(&e))?;
        let mut part = Part { root: fetch.root, path, bytes: 0, used: Arc::clone(&self.used) };
        let mut tree = FileTreeBuilder::default();
        let mut head = Vec::new();
        while let Some(piece) = body.piece().await.map_err(unread)? {
            if !part.grow(piece.len() as u64, self.max_bytes) {
                return Err(format!("no room for blob {}: maxHeldBytes is {}", fetch.root, self.max_bytes));
            }
            let missing = fetch.head_bytes.saturating_sub(head.len());
            head.extend_from_slice(&piece[..missing.min(piece.len())]);
            tree.update(&piece);
            file.write_all(&piece).await.map_err(|e| disk(&e))?;
        }
        let root = tree.finish().map_or(B256::ZERO, |tree| tree.root);
        if root != fetch.root {
            return Err(format!("blob {} hashes to {root}", fetch.root));
        }
        file.flush().await.map_err(|e| disk(&e))?;
        file.sync_all().await.map_err(|e| disk(&e))?;
        Ok((head.into(), part))
    }

    /// Lets nobody else place or take back blobs meanwhile: until its record is written, what lies at its
    /// place may go again, and nobody may rest on it.
    pub(crate) async fn placing(&self) -> MutexGuard<'_, ()> {
        self.placing.lock().await
    }

    /// Puts those fetched blobs that `roots` name where held ones lie, and checks that all of `roots` are
    /// there; other fetched blobs go. What it gives back was not there before, and goes again unless it is
    /// told to stay.
    pub(crate) async fn place(&self, parts: Vec<Part>, roots: &[B256]) -> Result<Vec<Part>, String> {
        let mut placed = Vec::new();
        for mut part in parts.into_iter().filter(|part| roots.contains(&part.root)) {
            let path = self.path(&part.root);
            if !fs::try_exists(&path).await.map_err(|e| disk(&e))? {
                fs::rename(&part.path, &path).await.map_err(|e| disk(&e))?;
                part.path = path;
                placed.push(part);
            }
        }
        for root in roots {
            if !fs::try_exists(self.path(root)).await.map_err(|e| disk(&e))? {
                return Err(format!("blob {root} went away"));
            }
        }
        let dir = File::open(&self.dir).await.map_err(|e| disk(&e))?;
        dir.sync_all().await.map_err(|e| disk(&e))?;
        Ok(placed)
    }
}

/// The first bytes of a file, and how many it has.
async fn head_of(path: &Path, bytes: usize) -> io::Result<(Bytes, u64)> {
    let mut head = Vec::new();
    let file = File::open(path).await?;
    let all = file.metadata().await?.len();
    file.take(bytes as u64).read_to_end(&mut head).await?;
    Ok((head.into(), all))
}

fn too_large(fetch: &Fetch) -> String {
    format!("blob {} is larger than {} bytes", fetch.root, fetch.max_bytes)
}

fn unanswered(fetch: &Fetch, error: &CallError) -> String {
    match &error.why {
        Why::TooLarge { .. } => too_large(fetch),
        Why::Address(UrlError::NotAUrl) => "the blob address is not a URL".to_owned(),
        Why::Address(UrlError::Scheme | UrlError::Suffix) => {
            "the blob address is not a plain http URL".to_owned()
        }
        Why::Unreachable(_) | Why::Late(_) | Why::Broken(_) | Why::Cut { .. } => {
            format!("fetching a blob: {error}")
        }
        // The status is looked at before, and nothing is encoded or parsed.
        Why::Request(_) | Why::Refused { .. } | Why::Unreadable(_) => format!("fetching a blob: {error}"),
    }
}

/// The peer need not know where our files lie.
fn disk(error: &io::Error) -> String {
    tracing::error!(%error, "blob directory");
    "keeping a blob failed".to_owned()
}
