use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use licen_core::merkle::FileTreeBuilder;
use licen_core::primitives::B256;
use reqwest::{Method, Response, StatusCode, header};

use super::{Client, Retry, content_length};
use crate::error::{Error, Result};
use crate::keccak::Keccak;

/// Bytes collected before they are hashed and written.
const BATCH_BYTES: usize = 1 << 20;

impl Client {
    /// Downloads a blob of at most `limit` bytes to `path`, which appears only when it was verified.
    /// Returns its length. `progress` hears bytes arrived and bytes in all.
    pub async fn get_file(
        &self,
        root: B256,
        path: impl AsRef<Path>,
        limit: u64,
        progress: impl FnMut(u64, u64),
    ) -> Result<u64> {
        let path = path.as_ref();
        let partial = Partial::create(path)?;
        let sink = Sink::new(Target::File(partial));
        let sink = self.within_deadline("the download", self.get(root, limit, sink, progress)).await?;
        let len = sink.builder.bytes();
        let Target::File(partial) = self.verified(root, sink)? else { unreachable!("it began as a file") };
        partial.publish(path)?;
        Ok(len)
    }

    /// Downloads a blob of at most `limit` bytes into memory.
    pub async fn get_bytes(&self, root: B256, limit: u64) -> Result<Vec<u8>> {
        let sink = Sink::new(Target::Memory(Vec::new()));
        let sink = self.within_deadline("the download", self.get(root, limit, sink, |_, _| {})).await?;
        let Target::Memory(bytes) = self.verified(root, sink)? else { unreachable!("it began in memory") };
        Ok(bytes)
    }

    /// The one way from a sink to its bytes.
    fn verified(&self, expected: B256, sink: Sink) -> Result<Target> {
        let tree = sink.builder.finish().map_err(|_| self.confused("the blob is empty"))?;
        if tree.root != expected {
            return Err(Error::Untrue { url: self.base.clone(), expected, actual: tree.root });
        }
        Ok(sink.target)
    }

    async fn get(
        &self,
        root: B256,
        limit: u64,
        mut sink: Sink,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Sink> {
        let mut retry = Retry::new(&self.options);
        let mut total = None;
        loop {
            let before = sink.builder.bytes();
            let failure;
            (sink, failure) = self.get_rest(root, limit, &mut total, sink, &mut progress).await?;
            let Some(error) = failure else { return Ok(sink) };
            if sink.builder.bytes() > before {
                retry.progressed();
            }
            match error.retryable_now() {
                true => retry.wait(error).await?,
                false => return Err(error),
            }
        }
    }

    /// One request for everything that is missing. A failure that may pass keeps the sink.
    async fn get_rest(
        &self,
        root: B256,
        limit: u64,
        total: &mut Option<u64>,
        mut sink: Sink,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<(Sink, Option<Error>)> {
        let mut response = match self.request_rest(root, limit, total, sink.builder.bytes()).await {
            Ok(response) => response,
            Err(error) => return Ok((sink, Some(error))),
        };
        let total = total.expect("the request learned it");
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        loop {
            let missing = total - sink.builder.bytes() - batch.len() as u64;
            let (piece, failure) = match response.chunk().await {
                Ok(piece) => (piece.unwrap_or_default(), None),
                Err(source) => (Bytes::new(), Some(self.unreachable(source))),
            };
            if piece.len() as u64 > missing {
                return Err(self.confused("it sends more than it announced"));
            }
            let ended = piece.is_empty();
            batch.extend_from_slice(&piece);
            if batch.len() >= BATCH_BYTES || ended {
                sink = sink.append(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_BYTES))).await?;
                progress(sink.builder.bytes(), total);
            }
            if ended && failure.is_none() && sink.builder.bytes() < total {
                return Err(self.confused("it sends less than it announced"));
            }
            if ended {
                return Ok((sink, failure));
            }
        }
    }

    /// Asks for the bytes from `offset`, and learns or compares the length of the blob.
    async fn request_rest(
        &self,
        root: B256,
        limit: u64,
        total: &mut Option<u64>,
        offset: u64,
    ) -> Result<Response> {
        let url = self.url(root);
        let mut request = self.request(Method::GET, &url);
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        let response = self.send(request).await?;
        let announced = match response.status() {
            StatusCode::OK if offset == 0 => content_length(&url, &response)?,
            StatusCode::PARTIAL_CONTENT if offset > 0 => {
                let rest = content_length(&url, &response)?;
                rest.checked_add(offset).ok_or_else(|| self.confused("its lengths overflow"))?
            }
            StatusCode::NOT_FOUND => return Err(Error::NotFound { root }),
            status if status.is_success() => return Err(self.confused("it sends another range")),
            _ => return Err(self.refusal(response).await),
        };
        if announced > limit {
            return Err(Error::TooLarge { bytes: announced, limit });
        }
        if announced == 0 || total.is_some_and(|total| total != announced) {
            return Err(self.confused("the length of the blob changes"));
        }
        *total = Some(announced);
        Ok(response)
    }
}

/// Bytes that nobody has seen yet.
struct Sink {
    target: Target,
    builder: FileTreeBuilder<Keccak>,
}

enum Target {
    Memory(Vec<u8>),
    File(Partial),
}

impl Sink {
    fn new(target: Target) -> Self {
        Self { target, builder: FileTreeBuilder::new(Keccak::detect()) }
    }

    async fn append(mut self, batch: Vec<u8>) -> Result<Self> {
        let append = move || {
            match &mut self.target {
                Target::Memory(bytes) => bytes.extend_from_slice(&batch),
                Target::File(partial) => partial.append(&batch)?,
            }
            self.builder.update(&batch);
            Ok(self)
        };
        tokio::task::spawn_blocking(append).await.expect("writing does not panic")
    }
}

/// A file beside the wanted one, gone unless it is published.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    fn create(wanted: &Path) -> Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Error::io(wanted, std::io::Error::other(error.to_string())))?;
        let name = wanted.file_name().unwrap_or_default().to_string_lossy();
        let path =
            wanted.with_file_name(format!(".{name}.{}.part", licen_core::primitives::hex::encode(random)));
        let file = File::create_new(&path).map_err(|source| Error::io(&path, source))?;
        Ok(Self { file, path })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| Error::io(&self.path, source))
    }

    fn publish(self, wanted: &Path) -> Result<()> {
        let published = self.file.sync_all().and_then(|()| fs::rename(&self.path, wanted));
        published.map_err(|source| Error::io(wanted, source))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename there is nothing here any more.
        let _ = fs::remove_file(&self.path);
    }
}
