//! Result blobs and evidence bundles: fetched by HTTP, hashed while they arrive, kept under their
//! root. They are ciphertext and public records; this crate cannot open either.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use licen_core::merkle::FileTreeBuilder;
use licen_core::primitives::{B256, Bytes};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::effect::Fetch;

const CONNECT: Duration = Duration::from_secs(5);
/// Between two pieces of a body.
const READ: Duration = Duration::from_secs(20);
const WHOLE: Duration = Duration::from_secs(270);

/// The directory of held blobs and the client that fills it.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
    client: Client,
}

impl Blobs {
    /// Uses `dir`, and clears what an earlier crash left half fetched.
    pub(crate) async fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir).await?;
        let mut entries = fs::read_dir(dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_name().to_string_lossy().ends_with(".part") {
                fs::remove_file(entry.path()).await?;
            }
        }
        // No redirects: the address is the one a signer named, not one a server picks.
        let builder = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT);
        let client = builder.read_timeout(READ).timeout(WHOLE).build().map_err(io::Error::other)?;
        Ok(Self { dir: dir.to_owned(), client })
    }

    /// Where a held blob lies.
    pub(crate) fn path(&self, root: &B256) -> PathBuf {
        self.dir.join(root.to_string())
    }

    /// Fetches a blob unless it is here already, and gives its first bytes. `name` is unique.
    pub(crate) async fn fetch(&self, fetch: &Fetch, name: &str) -> Result<Bytes, String> {
        let path = self.path(&fetch.root);
        match head_of(&path, fetch.head_bytes).await {
            Ok(head) => return Ok(head),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(disk(&error)),
        }
        let part = self.dir.join(format!("{}.{name}.part", fetch.root));
        let fetched = self.download(fetch, &part).await;
        if fetched.is_err() || !fetch.keep {
            let _ = fs::remove_file(&part).await;
        }
        let head = fetched?;
        if fetch.keep {
            fs::rename(&part, &path).await.map_err(|e| disk(&e))?;
            let dir = File::open(&self.dir).await.map_err(|e| disk(&e))?;
            dir.sync_all().await.map_err(|e| disk(&e))?;
        }
        Ok(head)
    }

    async fn download(&self, fetch: &Fetch, part: &Path) -> Result<Bytes, String> {
        let url = url_of(&fetch.blob_url, &fetch.root)?;
        let mut response = self.client.get(url).send().await.map_err(|e| network(&e))?;
        if !response.status().is_success() {
            return Err(format!("blob {} was answered with {}", fetch.root, response.status()));
        }
        let too_large = || format!("blob {} is larger than {} bytes", fetch.root, fetch.max_bytes);
        if response.content_length().is_some_and(|length| length > fetch.max_bytes) {
            return Err(too_large());
        }
        let mut file = File::create(part).await.map_err(|e| disk(&e))?;
        let mut tree = FileTreeBuilder::default();
        let mut head = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| network(&e))? {
            if tree.bytes() + piece.len() as u64 > fetch.max_bytes {
                return Err(too_large());
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
        Ok(head.into())
    }
}

async fn head_of(path: &Path, bytes: usize) -> io::Result<Bytes> {
    let mut head = Vec::new();
    File::open(path).await?.take(bytes as u64).read_to_end(&mut head).await?;
    Ok(head.into())
}

fn url_of(base: &str, root: &B256) -> Result<Url, String> {
    let url = Url::parse(&format!("{}/v1/blobs/{root}", base.trim_end_matches('/')));
    let url = url.map_err(|_| "the blob address is not a URL".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err("the blob address is not a plain http URL".to_owned());
    }
    Ok(url)
}

fn network(error: &reqwest::Error) -> String {
    let why = if error.is_timeout() {
        "took too long"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    format!("fetching a blob: {why}")
}

/// The peer need not know where our files lie.
fn disk(error: &io::Error) -> String {
    tracing::error!(%error, "blob directory");
    "keeping a blob failed".to_owned()
}
