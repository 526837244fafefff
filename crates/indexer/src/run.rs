//! The shell: asks the follower for the next step, turns it into rows, writes it, says how fresh
//! that is.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use licen_chain::deployment::Contracts;
use licen_chain::stream::{Follower, Header, StreamOptions};
use licen_chain::{Advance, Rpcs, fetch};
use licen_core::fault::Fault;
use licen_store::{Batch, BlockRow, Followed, Identity, Position, Scope, Store};

use crate::error::IndexerError;
use crate::event::{Need, need};
use crate::machine::{JobFacts, Origin, View, apply};
use crate::status::Freshness;

/// First pause after a failure; doubles up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How the index follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The block of the oldest contract: nothing of ours is below it.
    pub start_block: u64,
    /// Blocks this deep are never taken back; a deeper change of the chain stops the index.
    pub finality: u64,
    /// Most blocks asked for at once in the past.
    pub max_range: u64,
    /// Milliseconds between two looks at the head.
    pub poll_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        let stream = StreamOptions::default();
        Self { start_block: 0, finality: stream.finality, max_range: stream.max_range, poll_ms: 500 }
    }
}

/// Follows all contracts of a deployment until `shutdown` is ready. Failures that may pass are waited out and shown in
/// `freshness`; one that needs a person leaves the tables as they are, not ready, and is returned at
/// the end, so that whoever serves the tables can go on saying so.
///
/// The tables hold what exactly these contracts said since `start_block`. Where they held something
/// else they are emptied first and the index begins again, not ready until it has caught up.
///
/// # Errors
/// The database belongs to another chain or `Custody` or cannot be read; what stopped the index.
pub async fn run(
    config: Config,
    store: Store,
    rpcs: &Rpcs,
    contracts: &Contracts,
    freshness: Freshness,
    shutdown: impl Future<Output = ()>,
) -> Result<(), IndexerError> {
    let mut shutdown = pin!(shutdown);
    let (chain_id, genesis_hash) = (rpcs.identity().chain_id, rpcs.identity().genesis_hash);
    store.pin(&Identity { chain_id, genesis_hash }).await?;
    let scope = Scope::new(contracts.custody, &contracts.data_policies, config.start_block);
    if let Followed::Emptied { before } = store.follow(&scope).await? {
        let before = before.map_or_else(|| "unknown contracts".into(), |before| before.to_string());
        tracing::warn!(%before, now = %scope, "the contracts changed; the index begins again");
    }
    let mut follower = follower(&config, &store).await?;
    let mut retry = RETRY;
    loop {
        let stepped = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            stepped = step(&store, rpcs, contracts, &mut follower, &freshness) => stepped,
        };
        let pause = match stepped {
            Ok(true) => {
                retry = RETRY;
                continue;
            }
            Ok(false) => {
                retry = RETRY;
                Duration::from_millis(config.poll_ms)
            }
            Err(error) => {
                let halted = !error.retryable();
                tracing::error!(%error, halted, "the index does not follow");
                let problem = error.to_string();
                freshness.update(|status| (status.problem, status.halted) = (problem, halted));
                if halted {
                    shutdown.await;
                    return Err(error);
                }
                // What was fetched and not written is void; the tables say where to go on.
                if let Ok(fresh) = self::follower(&config, &store).await {
                    follower = fresh;
                }
                let pause = retry;
                retry = (retry * 2).min(RETRY_MAX);
                pause
            }
        };
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn follower(config: &Config, store: &Store) -> Result<Follower, IndexerError> {
    let options = StreamOptions {
        start_block: config.start_block,
        finality: config.finality,
        max_range: config.max_range,
    };
    let header = |row: BlockRow| Header {
        number: row.number,
        hash: row.hash,
        parent_hash: row.parent_hash,
        timestamp: row.timestamp,
    };
    let window = store.window().await?.into_iter().map(header).collect();
    let finalized = store.cursor().await?.map_or(0, |cursor| cursor.finalized);
    Ok(Follower::new(options, window, finalized))
}

/// One step; whether there may be more at once.
async fn step(
    store: &Store,
    rpcs: &Rpcs,
    contracts: &Contracts,
    follower: &mut Follower,
    freshness: &Freshness,
) -> Result<bool, IndexerError> {
    let found = fetch::step(rpcs, contracts, follower).await;
    let Some(advance) = found? else {
        let position = follower.position();
        freshness.update(|status| {
            status.problem.clear();
            if let Some(at) = position {
                status.indexed = Some(at.number);
                status.timestamp = at.timestamp;
                status.head = status.head.max(Some(at.number));
            }
        });
        return Ok(false);
    };
    let origin = Origin { chain_id: rpcs.identity().chain_id, contracts };
    let batch = batch(store, origin, &advance).await?;
    store.apply(&batch).await?;
    if let Some(common) = advance.undo_above {
        tracing::warn!(above = common, "the chain changed; blocks were taken back");
    }
    let head = advance.head;
    let last = advance.blocks.last().copied();
    freshness.update(|status| {
        status.problem.clear();
        status.head = Some(head);
        if let Some(at) = last {
            status.indexed = Some(at.number);
            status.timestamp = at.timestamp;
        }
    });
    Ok(true)
}

/// What one step changes, as rows.
///
/// # Errors
/// An event that cannot be right, the database.
pub async fn batch(store: &Store, origin: Origin<'_>, advance: &Advance) -> Result<Batch, IndexerError> {
    let mut view = View::default();
    let mut batch = Batch {
        from: advance.from.map(|(number, hash)| Position { number, hash }),
        undo_above: advance.undo_above,
        blocks: advance.blocks.iter().map(block).collect(),
        finalized: advance.finalized,
        now_ms: now_ms(),
        ..Batch::default()
    };
    for event in &advance.events {
        // Invariant: what is looked up may belong to a block that this very step takes back. That
        // does no harm: of a job only what granting fixed is used, and an event that a new branch
        // has again comes again.
        match need(event) {
            Need::None => {}
            Need::Job(id) => {
                if !view.jobs.contains_key(&id)
                    && let Some(facts) = store.job(id).await?.as_ref().and_then(JobFacts::of_row)
                {
                    view.jobs.insert(id, facts);
                }
            }
            Need::Dataset(contract, uid) => {
                if !view.roots.contains_key(&(contract, uid))
                    && let Some(row) = store.dataset(contract, uid).await?
                {
                    view.roots.insert((contract, uid), row.dataset_root);
                }
            }
        }
        let applied = apply(origin, event, &mut view)?;
        batch.changes.extend(applied.changes.into_iter().map(|change| (event.block_number, change)));
        batch.work.extend(applied.work);
    }
    Ok(batch)
}

fn block(header: &Header) -> BlockRow {
    BlockRow {
        number: header.number,
        hash: header.hash,
        parent_hash: header.parent_hash,
        timestamp: header.timestamp,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
