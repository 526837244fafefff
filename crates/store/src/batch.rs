//! What one step along the chain changes, written in one transaction: undo of vanished blocks, new
//! blocks, rows with their journal, work and outbox, cursor.

use licen_core::abi::{Job, ResultManifest, Split};
use licen_core::id::address_of;
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256, Bytes, U256};
use licen_core::sol_types::SolValue;
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::journal;
use crate::row;
use crate::store::Store;
use crate::tables::{
    AuditRow, BlockRow, CustodianSetRow, DatasetRow, JobRow, PaymentRow, PolicyRow, ProviderRow, SplitRow,
};
use crate::value::{Column, Value};
use crate::work::{self, NewWork};

/// A block by height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// How far the tables follow the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last block that is in the tables.
    pub at: Position,
    /// Blocks up to here are never taken back.
    pub finalized: u64,
}

/// One step along the chain.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Where the step starts: the stored cursor, before any undo. `None` for the first step.
    pub from: Option<Position>,
    /// Take back every block above this one first.
    pub undo_above: Option<u64>,
    /// The new blocks of the window, ascending; the last is the new cursor.
    pub blocks: Vec<BlockRow>,
    /// What they changed, in chain order, each with its block.
    pub changes: Vec<(u64, Change)>,
    /// Jobs to look after. Work is never taken back with a block: whoever does it asks the chain first.
    pub work: Vec<NewWork>,
    /// Blocks up to here are final from now on.
    pub finalized: u64,
    /// When this is written, milliseconds.
    pub now_ms: u64,
}

/// One change of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A dataset or its next policy. An existing row keeps its registration and its pause.
    Dataset(Box<DatasetRow>),
    /// The owner paused or resumed.
    Paused {
        /// The `DataPolicy` that stops or reopens requests.
        contract: Address,
        /// The dataset.
        dataset_uid: B256,
        /// Whether new requests are refused now.
        paused: bool,
        /// Chain time, seconds.
        timestamp: u64,
    },
    /// A policy, in full.
    Policy(Box<PolicyRow>),
    /// A job was granted.
    Job(Box<JobRow>),
    /// A job went on.
    JobPatch(Box<JobPatch>),
    /// A line of history.
    Audit(Box<AuditRow>),
    /// A version of a custodian set.
    CustodianSet(Box<CustodianSetRow>),
    /// A provider of compute.
    Provider(Box<ProviderRow>),
    /// A move in a ledger.
    Payment(Box<PaymentRow>),
    /// A ledger account was named; kept where it is no address and was not named before.
    Named {
        /// The account.
        account: B256,
        /// Chain time, seconds.
        timestamp: u64,
    },
    /// A split was announced. Kept where its account was named, and its own accounts are named by it;
    /// else dropped: anybody can announce splits that no money will ever reach.
    Announced {
        /// The split's account.
        account: B256,
        /// The split.
        split: Box<Split>,
        /// Chain time, seconds.
        timestamp: u64,
        /// Transaction of the event.
        tx_hash: B256,
    },
}

/// What an event says about a known job; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobPatch {
    /// The job.
    pub job_id: B256,
    /// Its new state; starting and ending times follow from it.
    pub state: Option<JobState>,
    /// attempt, signer, runtimeDataHash, runDeadline of `JobStarted`, also set in the stored preimage.
    pub started: Option<(u32, Address, B256, u64)>,
    /// What compute stated about the result.
    pub result: Option<ResultManifest>,
    /// Gross royalty.
    pub royalty: Option<U256>,
    /// Back to the requester; several refunds of one job add up.
    pub refund: Option<U256>,
    /// `Reason` as the contract numbers it.
    pub fail_reason: Option<u8>,
    /// Chain time of the event, seconds.
    pub timestamp: u64,
    /// Transaction of the event.
    pub tx_hash: B256,
}

impl JobPatch {
    fn apply(&self, job: &mut JobRow, block: u64) -> Result<(), StoreError> {
        if let Some((attempt, signer, runtime_data_hash, run_deadline)) = self.started {
            let bad = |_| StoreError::Malformed { what: "jobs.job_abi" };
            let known = Job::abi_decode(&job.job_abi).map_err(bad)?;
            let next = Job {
                attempt,
                signer,
                runtimeDataHash: runtime_data_hash,
                runDeadline: run_deadline,
                ..known
            };
            job.job_abi = Bytes::from(next.abi_encode());
            job.attempt = attempt;
            job.run_deadline = run_deadline;
            job.started_at = Some(self.timestamp);
            job.started_tx = Some(self.tx_hash);
        }
        if let Some(state) = self.state {
            job.state = state as u8;
            if state.is_terminal() {
                job.ended_at = Some(self.timestamp);
                job.ended_tx = Some(self.tx_hash);
            }
        }
        if let Some(result) = &self.result {
            record(job, result);
        }
        job.royalty = self.royalty.or(job.royalty);
        if let Some(refund) = self.refund {
            job.refund = Some(job.refund.unwrap_or_default().saturating_add(refund));
        }
        job.fail_reason = self.fail_reason.or(job.fail_reason);
        job.updated_block = block;
        job.updated_at = self.timestamp;
        Ok(())
    }
}

fn record(job: &mut JobRow, result: &ResultManifest) {
    job.actual_epochs = Some(result.actualEpochs);
    job.result_hash = Some(result.resultHash);
    job.attestation_ref = Some(result.attestationRef);
    job.base_model_root = Some(result.baseModelRoot);
    job.adapter_root = Some(result.adapterRoot);
    job.report_hash = Some(result.reportHash);
    job.samples = Some(result.samples);
    job.tokens_seen = Some(result.tokensSeen);
    job.tokens_trained = Some(result.tokensTrained);
    job.compute_seconds = Some(result.computeSeconds);
    job.eval_before = Some(result.evalBefore);
    job.eval_after = Some(result.evalAfter);
    job.manifest_abi = Some(Bytes::from(result.abi_encode()));
}

row::row! {
    /// The cursor as stored.
    pub(crate) CursorRow in "cursor" {
        name: String;
        number: u64,
        hash: B256,
        finalized: u64,
    }
}

const CURSOR: &str = "chain";

impl Store {
    /// Where the tables stand; `None` before the first step.
    ///
    /// # Errors
    /// The database.
    pub async fn cursor(&self) -> Result<Option<Cursor>, StoreError> {
        cursor(&mut *self.read().await?).await
    }

    /// The blocks that may still vanish, ascending, for the stream to start from.
    ///
    /// # Errors
    /// The database.
    pub async fn window(&self) -> Result<Vec<BlockRow>, StoreError> {
        self.list("ORDER BY number", &[]).await
    }

    /// Writes one step, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::CursorMoved`] where the step does not start where the tables are,
    /// [`StoreError::UndoTooDeep`], [`StoreError::JobUnknown`], the database.
    pub async fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let stored = cursor(&mut tx).await?;
        let found = stored.map(|c| c.at);
        if found != batch.from {
            let number = |p: Option<Position>| p.map(|p| p.number);
            return Err(StoreError::CursorMoved { expected: number(batch.from), found: number(found) });
        }
        let floor = stored.map_or(0, |c| c.finalized);
        let mut at = found;
        if let Some(to) = batch.undo_above {
            if to < floor {
                return Err(StoreError::UndoTooDeep { to, oldest: floor });
            }
            let last = journal::undo(&mut tx, to).await?;
            at = Some(Position { number: last.number, hash: last.hash });
            self.boundary()?;
        }
        let finalized = batch.finalized.max(floor);
        for block in &batch.blocks {
            row::put(&mut tx, block).await?;
            at = Some(Position { number: block.number, hash: block.hash });
        }
        self.boundary()?;
        for (block, change) in &batch.changes {
            apply_change(&mut tx, *block, finalized, change).await?;
            self.boundary()?;
        }
        for item in &batch.work {
            work::insert(&mut tx, item, batch.now_ms).await?;
        }
        self.boundary()?;
        if let Some(at) = at {
            let row = CursorRow { name: CURSOR.into(), number: at.number, hash: at.hash, finalized };
            row::put(&mut tx, &row).await?;
        }
        self.boundary()?;
        journal::prune(&mut tx, finalized).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) async fn cursor(conn: &mut SqliteConnection) -> Result<Option<Cursor>, StoreError> {
    let row = row::get::<CursorRow>(conn, &[Value::Text(CURSOR.into())]).await?;
    Ok(row.map(|r| Cursor { at: Position { number: r.number, hash: r.hash }, finalized: r.finalized }))
}

async fn apply_change(
    conn: &mut SqliteConnection,
    block: u64,
    finalized: u64,
    change: &Change,
) -> Result<(), StoreError> {
    match change {
        Change::Dataset(new) => {
            let mut row = (**new).clone();
            let key = [row.contract.to_value(), row.dataset_uid.to_value()];
            if let Some(old) = row::get::<DatasetRow>(conn, &key).await? {
                row.paused = old.paused;
                row.registered_at = old.registered_at;
                row.registered_block = old.registered_block;
                row.registered_tx = old.registered_tx;
            }
            journal::put(conn, block, finalized, &row).await
        }
        Change::Paused { contract, dataset_uid, paused, timestamp } => {
            let key = [contract.to_value(), dataset_uid.to_value()];
            let Some(mut row) = row::get::<DatasetRow>(conn, &key).await? else {
                return Ok(());
            };
            row.paused = *paused;
            row.updated_at = *timestamp;
            journal::put(conn, block, finalized, &row).await
        }
        Change::JobPatch(patch) => {
            let Some(mut row) = row::get::<JobRow>(conn, &[patch.job_id.to_value()]).await? else {
                return Err(StoreError::JobUnknown(patch.job_id.to_string()));
            };
            patch.apply(&mut row, block)?;
            journal::put(conn, block, finalized, &row).await
        }
        Change::Policy(row) => journal::put(conn, block, finalized, &**row).await,
        Change::Job(row) => journal::put(conn, block, finalized, &**row).await,
        Change::Audit(row) => journal::put(conn, block, finalized, &**row).await,
        Change::CustodianSet(row) => journal::put(conn, block, finalized, &**row).await,
        Change::Provider(row) => journal::put(conn, block, finalized, &**row).await,
        Change::Payment(row) => journal::put(conn, block, finalized, &**row).await,
        Change::Named { account, timestamp } => name(conn, block, finalized, *account, *timestamp).await,
        Change::Announced { account, split, timestamp, tx_hash } => {
            let Some(mut row) = row::get::<SplitRow>(conn, &[account.to_value()]).await? else {
                return Ok(());
            };
            if row.split_abi.is_some() {
                return Ok(());
            }
            row.split_abi = Some(Bytes::from(split.abi_encode()));
            row.announced_at = Some(*timestamp);
            row.announced_tx = Some(*tx_hash);
            journal::put(conn, block, finalized, &row).await?;
            for inner in &split.accounts {
                name(conn, block, finalized, *inner, *timestamp).await?;
            }
            Ok(())
        }
    }
}

async fn name(
    conn: &mut SqliteConnection,
    block: u64,
    finalized: u64,
    account: B256,
    timestamp: u64,
) -> Result<(), StoreError> {
    if address_of(account).is_some() || row::get::<SplitRow>(conn, &[account.to_value()]).await?.is_some() {
        return Ok(());
    }
    let row = SplitRow {
        account,
        split_abi: None,
        named_at: timestamp,
        named_block: block,
        announced_at: None,
        announced_tx: None,
    };
    journal::put(conn, block, finalized, &row).await
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
