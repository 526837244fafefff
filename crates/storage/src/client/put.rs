use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use licen_core::primitives::B256;
use reqwest::{Method, StatusCode, header};

use super::{Client, Retry, content_length, upload_offset};
use crate::error::{Error, Result};
use crate::root::fill;

/// Where an upload takes its bytes from, any number of times.
enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

enum Step {
    Continue(u64),
    Done,
}

impl Client {
    /// Uploads a file whose file root is `root`. `progress` hears bytes arrived and bytes in all.
    pub async fn put_file(
        &self,
        root: B256,
        path: impl AsRef<Path>,
        progress: impl FnMut(u64, u64),
    ) -> Result<()> {
        let path = path.as_ref();
        let total = std::fs::metadata(path).map_err(|source| Error::io(path, source))?.len();
        self.put(root, Source::File(path.into()), total, progress).await
    }

    /// Uploads bytes whose file root is `root`.
    pub async fn put_bytes(&self, root: B256, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        let total = bytes.len() as u64;
        self.put(root, Source::Bytes(bytes), total, |_, _| {}).await
    }

    async fn put(
        &self,
        root: B256,
        source: Source,
        total: u64,
        progress: impl FnMut(u64, u64),
    ) -> Result<()> {
        if total == 0 {
            return Err(Error::Empty);
        }
        self.within_deadline("the upload", self.put_parts(root, source, total, progress)).await
    }

    async fn put_parts(
        &self,
        root: B256,
        source: Source,
        total: u64,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<()> {
        let mut retry = Retry::new(&self.options);
        let mut furthest = 0;
        // The server knows best where it stands: ask at the start and after every failure.
        let mut offset = None;
        loop {
            let step = match offset {
                None => self.upload_state(root, total).await,
                Some(start) => self.put_part(root, &source, start, total).await,
            };
            match step {
                Ok(Step::Done) => {
                    progress(total, total);
                    return Ok(());
                }
                Ok(Step::Continue(at)) => {
                    progress(at, total);
                    offset = Some(at);
                    if at > furthest {
                        furthest = at;
                        retry.progressed();
                    }
                }
                Err(error) if error.retryable_now() => {
                    retry.wait(error).await?;
                    offset = None;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn upload_state(&self, root: B256, total: u64) -> Result<Step> {
        let url = format!("{}?upload={}", self.url(root), self.upload_id);
        let response = self.send(self.request(Method::HEAD, &url)).await?;
        match response.status() {
            StatusCode::OK => match content_length(&url, &response)? {
                stored if stored >= total => Ok(Step::Done),
                // A shorter form of the same root is stored, without the zeros at its end.
                _ => Ok(Step::Continue(0)),
            },
            StatusCode::NO_CONTENT => match upload_offset(&response) {
                Some(offset) if offset <= total => Ok(Step::Continue(offset)),
                _ => Err(self.confused("it does not say where the upload continues")),
            },
            StatusCode::CONFLICT => Err(Error::Busy { root }),
            _ => Err(self.refusal(response).await),
        }
    }

    async fn put_part(&self, root: B256, source: &Source, start: u64, total: u64) -> Result<Step> {
        let end = total.min(start + self.options.part_bytes as u64);
        let part = source.read(start, end).await?;
        // A server that stopped between the last byte and the end has everything: it is only told so.
        let range = match start == total {
            true => format!("bytes */{total}"),
            false => format!("bytes {start}-{}/{total}", end - 1),
        };
        let url = format!("{}?upload={}", self.url(root), self.upload_id);
        let request = self
            .request(Method::PUT, &url)
            .timeout(self.options.part_timeout)
            .header(header::CONTENT_RANGE, range)
            .body(part);
        let response = self.send(request).await?;
        match response.status() {
            StatusCode::OK | StatusCode::CREATED => Ok(Step::Done),
            StatusCode::ACCEPTED if upload_offset(&response) == Some(end) && end < total => {
                Ok(Step::Continue(end))
            }
            StatusCode::ACCEPTED => Err(self.confused("it took the part and is somewhere else")),
            _ => match self.refusal(response).await {
                Error::Offset { offset, .. } => Err(Error::Offset { root, offset }),
                other => Err(other),
            },
        }
    }

    pub(super) fn confused(&self, reason: &'static str) -> Error {
        Error::Protocol { url: self.base.clone(), reason }
    }
}

impl Source {
    async fn read(&self, start: u64, end: u64) -> Result<Bytes> {
        let path = match self {
            Self::Bytes(bytes) => return Ok(bytes.slice(start as usize..end as usize)),
            Self::File(path) => path.clone(),
        };
        let read = move || {
            let mut part = vec![0; (end - start) as usize];
            let filled = File::open(&path).and_then(|mut file| {
                file.seek(SeekFrom::Start(start))?;
                fill(&mut file, &mut part)
            });
            match filled {
                Ok(filled) if filled == part.len() => Ok(part.into()),
                Ok(_) => Err(Error::io(path, std::io::ErrorKind::UnexpectedEof.into())),
                Err(source) => Err(Error::io(path, source)),
            }
        };
        tokio::task::spawn_blocking(read).await.expect("reading does not panic")
    }
}
