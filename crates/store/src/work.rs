//! Who looks after which job: a lease that ends by itself, and a fence number that makes a late
//! holder harmless.

use licen_core::primitives::{B256, Bytes};
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::value::{Column, Value};

row::row! {
    /// A job as its driver sees it.
    pub Work in "work" {
        /// The job.
        job_id: B256;
        /// Where the driver's machine stands, by its own name.
        phase: String,
        /// The attempt it is about.
        attempt: u32,
        /// Who holds the lease.
        lease_owner: Option<String>,
        /// When the lease ends, milliseconds.
        lease_until_ms: u64,
        /// Rises with every lease; a write under an older number is refused.
        fence: u64,
        /// Not to be touched before, milliseconds.
        next_try_ms: u64,
        /// Tries that failed in this phase.
        tries: u32,
        /// Why the last one failed.
        last_error: Option<String>,
        /// The machine's state, as the role encodes it.
        data: Bytes,
        /// Nothing is left to do.
        done: bool,
        /// When it was added, milliseconds.
        created_ms: u64,
        /// When it last changed, milliseconds.
        updated_ms: u64,
    }
}

/// A job to look after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWork {
    /// The job.
    pub job_id: B256,
    /// First phase.
    pub phase: String,
    /// First state of the machine.
    pub data: Bytes,
}

/// The outcome of one step on a job, with what it decided to do outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkUpdate {
    /// The job.
    pub job_id: B256,
    /// The fence number of the lease it was done under.
    pub fence: u64,
    /// New phase.
    pub phase: String,
    /// New attempt.
    pub attempt: u32,
    /// New state of the machine.
    pub data: Bytes,
    /// When to look again, milliseconds.
    pub next_try_ms: u64,
    /// Failed tries in the new phase.
    pub tries: u32,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// Nothing is left to do.
    pub done: bool,
    /// Whether the lease ends with this step.
    pub release: bool,
}

pub(crate) async fn insert(
    conn: &mut SqliteConnection,
    new: &NewWork,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let work = Work {
        job_id: new.job_id,
        phase: new.phase.clone(),
        attempt: 0,
        lease_owner: None,
        lease_until_ms: 0,
        fence: 0,
        next_try_ms: now_ms,
        tries: 0,
        last_error: None,
        data: new.data.clone(),
        done: false,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    row::insert(conn, &work).await
}

fn lost(job_id: B256, fence: u64) -> StoreError {
    StoreError::FenceLost { job: job_id.to_string(), fence }
}

impl Store {
    /// Adds work unless the job has some already.
    ///
    /// # Errors
    /// The database.
    pub async fn add_work(&self, new: &NewWork, now_ms: u64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let added = insert(&mut tx, new, now_ms).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// One job's work.
    ///
    /// # Errors
    /// The database.
    pub async fn work(&self, job_id: B256) -> Result<Option<Work>, StoreError> {
        self.get(&[job_id.to_value()]).await
    }

    /// All unfinished work, for a restart or a status page.
    ///
    /// # Errors
    /// The database.
    pub async fn open_work(&self) -> Result<Vec<Work>, StoreError> {
        self.list("WHERE done = 0 ORDER BY created_ms, job_id", &[]).await
    }

    /// Takes a lease on what is due and nobody holds. Each gets the next fence number.
    ///
    /// # Errors
    /// The database.
    pub async fn lease_work(
        &self,
        owner: &str,
        now_ms: u64,
        lease_ms: u64,
        limit: u32,
    ) -> Result<Vec<Work>, StoreError> {
        let mut tx = self.begin().await?;
        let clause = "WHERE done = 0 AND next_try_ms <= $1 AND lease_until_ms <= $1 \
                      ORDER BY next_try_ms, job_id LIMIT $2";
        let mut due: Vec<Work> = row::list(&mut tx, clause, &[now_ms.to_value(), limit.to_value()]).await?;
        for work in &mut due {
            work.lease_owner = Some(owner.to_string());
            work.lease_until_ms = now_ms.saturating_add(lease_ms);
            work.fence += 1;
            row::put(&mut tx, work).await?;
        }
        self.boundary()?;
        tx.commit().await?;
        Ok(due)
    }

    /// Keeps a lease alive.
    ///
    /// # Errors
    /// [`StoreError::FenceLost`] where somebody else has the job by now.
    pub async fn extend_lease(&self, job_id: B256, fence: u64, until_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE work SET lease_until_ms = $1 WHERE job_id = $2 AND fence = $3 AND done = 0";
        let touched =
            row::run(&mut tx, sql, &[until_ms.to_value(), job_id.to_value(), fence.to_value()]).await?;
        if touched == 0 {
            return Err(lost(job_id, fence));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Writes a step and what it decided, in one transaction, if the lease still holds.
    ///
    /// # Errors
    /// [`StoreError::FenceLost`] where somebody else has the job by now: nothing is written.
    pub async fn save_work(&self, update: &WorkUpdate, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let Some(mut work) = row::get::<Work>(&mut tx, &[update.job_id.to_value()]).await? else {
            return Err(StoreError::JobUnknown(update.job_id.to_string()));
        };
        if work.fence != update.fence || work.done {
            return Err(lost(update.job_id, update.fence));
        }
        work.phase.clone_from(&update.phase);
        work.attempt = update.attempt;
        work.data = update.data.clone();
        work.next_try_ms = update.next_try_ms;
        work.tries = update.tries;
        work.last_error.clone_from(&update.last_error);
        work.done = update.done;
        work.updated_ms = now_ms;
        if update.release || update.done {
            work.lease_owner = None;
            work.lease_until_ms = 0;
        }
        row::put(&mut tx, &work).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives every lease of an owner back, when it stops in order.
    ///
    /// # Errors
    /// The database.
    pub async fn release_leases(&self, owner: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE work SET lease_owner = NULL, lease_until_ms = 0 WHERE lease_owner = $1";
        row::run(&mut tx, sql, &[Value::Text(owner.into())]).await?;
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests_support::dump;

    fn new(job: u8) -> NewWork {
        NewWork { job_id: B256::repeat_byte(job), phase: "granted".into(), data: Bytes::new() }
    }

    fn update(work: &Work) -> WorkUpdate {
        WorkUpdate {
            job_id: work.job_id,
            fence: work.fence,
            phase: "dispatched".into(),
            attempt: 1,
            data: Bytes::from_static(b"state"),
            next_try_ms: 500,
            tries: 0,
            last_error: None,
            done: false,
            release: false,
        }
    }

    #[tokio::test]
    async fn a_late_holder_cannot_write() {
        let store = Store::in_memory().await.unwrap();
        assert!(store.add_work(&new(1), 0).await.unwrap());
        assert!(!store.add_work(&new(1), 0).await.unwrap());
        let first = store.lease_work("a", 0, 100, 10).await.unwrap().remove(0);
        assert!(store.lease_work("b", 99, 100, 10).await.unwrap().is_empty());
        let second = store.lease_work("b", 100, 100, 10).await.unwrap().remove(0);
        assert_eq!((first.fence, second.fence), (1, 2));
        let before = dump(&store).await;
        assert!(matches!(store.save_work(&update(&first), 101).await, Err(StoreError::FenceLost { .. })));
        assert!(matches!(store.extend_lease(first.job_id, 1, 300).await, Err(StoreError::FenceLost { .. })));
        assert_eq!(dump(&store).await, before);
        store.extend_lease(second.job_id, 2, 300).await.unwrap();
        store.save_work(&update(&second), 101).await.unwrap();
        assert_eq!(store.work(second.job_id).await.unwrap().unwrap().phase, "dispatched");
    }

    #[tokio::test]
    async fn finished_work_is_never_due() {
        let store = Store::in_memory().await.unwrap();
        store.add_work(&new(1), 0).await.unwrap();
        let work = store.lease_work("a", 0, 100, 10).await.unwrap().remove(0);
        store.save_work(&WorkUpdate { done: true, ..update(&work) }, 1).await.unwrap();
        assert!(store.lease_work("a", 10_000, 100, 10).await.unwrap().is_empty());
        assert!(store.open_work().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_orderly_stop_gives_work_back_for_when_it_is_due() {
        let store = Store::in_memory().await.unwrap();
        store.add_work(&new(1), 0).await.unwrap();
        let work = store.lease_work("a", 0, 100_000, 10).await.unwrap().remove(0);
        store.save_work(&WorkUpdate { next_try_ms: 9_000, ..update(&work) }, 1).await.unwrap();
        store.release_leases("a").await.unwrap();
        assert!(store.lease_work("b", 5, 100, 10).await.unwrap().is_empty());
        assert_eq!(store.lease_work("b", 9_000, 100, 10).await.unwrap().len(), 1);
    }
}
