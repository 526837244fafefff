use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use licen_core::primitives::{B256, hex};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{Options, blocking};
use crate::blobs::{BlobWriter, Blobs};
use crate::error::{Error, Result};

/// How long a request waits for the one before it to let go of the upload: a client whose connection
/// broke comes back before the server has noticed.
const HANDOVER: Duration = Duration::from_secs(5);

/// How long an upload between two requests is left alone although others wait for its place.
const QUIET: Duration = Duration::from_secs(2);

/// The uploads in progress, by root and name.
pub(super) struct Sessions {
    blobs: Blobs,
    max_open: usize,
    idle_after: Duration,
    open: Mutex<HashMap<String, Arc<AsyncMutex<Session>>>>,
}

/// One upload. Without a writer it was not opened yet, or it is over.
pub(super) struct Session {
    name: String,
    root: B256,
    pub(super) writer: Option<BlobWriter>,
    last_use: Instant,
}

impl Sessions {
    pub(super) fn new(blobs: Blobs, options: &Options) -> Self {
        let Options { max_open_uploads, idle_after, .. } = *options;
        Self { blobs, max_open: max_open_uploads, idle_after, open: Mutex::default() }
    }

    /// Where the upload continues; 0 where there is none.
    pub(super) async fn offset(&self, root: B256, id: &str) -> Result<u64> {
        let name = name(root, id);
        let known = self.map(|open| open.contains_key(&name));
        let (blobs, file) = (self.blobs.clone(), name);
        if !known && !blocking(move || BlobWriter::is_resumable(&blobs, &file)).await {
            return Ok(0);
        }
        let session = self.take(root, id).await?;
        Ok(session.writer.as_ref().map_or(0, BlobWriter::bytes))
    }

    /// Takes the upload for one request, and opens it if need be.
    pub(super) async fn take(&self, root: B256, id: &str) -> Result<OwnedMutexGuard<Session>> {
        let name = name(root, id);
        let session = self.map(|open| -> Result<_> {
            if let Some(session) = open.get(&name) {
                return Ok(session.clone());
            }
            if open.len() >= self.max_open {
                self.evict_idle(open)?;
            }
            let session = Session { name: name.clone(), root, writer: None, last_use: Instant::now() };
            let session = Arc::new(AsyncMutex::new(session));
            open.insert(name, session.clone());
            Ok(session)
        })?;
        let guard = tokio::time::timeout(HANDOVER, session.lock_owned()).await;
        let mut guard = guard.map_err(|_| Error::Busy { root })?;
        guard.last_use = Instant::now();
        if guard.writer.is_none() {
            let blobs = self.blobs.clone();
            guard = blocking(move || -> Result<_> {
                guard.writer = Some(BlobWriter::resumable(blobs, guard.root, &guard.name)?);
                Ok(guard)
            })
            .await?;
        }
        Ok(guard)
    }

    /// Forgets an upload that is over. Whoever waited for it starts a new one.
    pub(super) fn close(&self, session: &Session) {
        self.map(|open| open.remove(&session.name));
    }

    /// Where every place is taken, an upload that is over makes room, or an old one, or the one that has
    /// brought least: with single bytes nobody keeps others out.
    fn evict_idle(&self, open: &mut HashMap<String, Arc<AsyncMutex<Session>>>) -> Result<()> {
        let mut least = None;
        let mut idle = None;
        for (name, session) in open.iter() {
            let Ok(session) = session.try_lock() else { continue };
            let (since, bytes) = (session.last_use.elapsed(), session.writer.as_ref().map(BlobWriter::bytes));
            if bytes.is_none() || since > self.idle_after {
                idle = Some(name.clone());
                break;
            }
            if since > QUIET && least.as_ref().is_none_or(|(fewest, _)| bytes < *fewest) {
                least = Some((bytes, name.clone()));
            }
        }
        let idle = idle.or(least.map(|(_, name)| name));
        let session = open.remove(&idle.ok_or(Error::TooManyUploads)?).expect("it was just found");
        if let Ok(mut session) = session.try_lock()
            && let Some(writer) = session.writer.take()
        {
            writer.discard();
        }
        Ok(())
    }

    fn map<T>(&self, work: impl FnOnce(&mut HashMap<String, Arc<AsyncMutex<Session>>>) -> T) -> T {
        // A panic while the map was held cannot have left it half changed.
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn name(root: B256, id: &str) -> String {
    format!("{}-{id}", hex::encode(root))
}
