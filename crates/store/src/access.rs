//! Who asked for access to a dataset, and whom its owner approved. Everybody may write a request, so
//! their number is bounded here, in the transaction that writes.

use licen_core::primitives::{Address, B256, Bytes};
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::value::{Column, Value};

row::row! {
    /// A request or an approval of one requester.
    pub(crate) AccessRow in "access" {
        kind: String,
        contract: Address,
        dataset_uid: B256,
        requester: Address;
        requesters_root: B256,
        moment: u64,
        body: Bytes,
        received_ms: u64,
    }
}

/// What is kept of a requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessKind {
    /// The requester asked. Its moment is when.
    Request,
    /// The owner approved. Its moment is when that ends.
    Approval,
}

impl AccessKind {
    fn name(self) -> String {
        match self {
            Self::Request => "request".into(),
            Self::Approval => "approval".into(),
        }
    }
}

/// One request or approval, whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Which of the two.
    pub kind: AccessKind,
    /// The `DataPolicy`.
    pub contract: Address,
    /// The dataset.
    pub dataset_uid: B256,
    /// Who asked, or who was approved.
    pub requester: Address,
    /// The list that it was said under: the current one. What was said under others is dropped.
    pub requesters_root: B256,
    /// As its kind says, Unix seconds.
    pub moment: u64,
    /// What to show, with its signature.
    pub body: Bytes,
}

/// How much is kept of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessLimits {
    /// Of one dataset at one contract.
    pub per_dataset: u64,
    /// Of all datasets together.
    pub in_all: u64,
}

/// What came of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It stands.
    Yes,
    /// A request of the same requester that is newer stands, or an approval that ends later.
    Older,
    /// The dataset has as many approvals as are kept.
    Full,
}

impl Store {
    /// Keeps a request or an approval in the place of the same requester's, unless that has a later moment:
    /// whoever recorded an old one cannot bring it back, and an approval holds on chain until it ends,
    /// whatever its owner signs after it. A request that
    /// is one too many makes room for itself: the oldest of its dataset goes, or the oldest of the dataset
    /// that has most. An approval that is one too many of its dataset is not kept; where all datasets
    /// together have too many, the one that ends first goes of the dataset that has most. No request
    /// ever removes an approval.
    ///
    /// # Errors
    /// The database.
    pub async fn put_access(
        &self,
        access: &Access,
        limits: AccessLimits,
        now_ms: u64,
    ) -> Result<Kept, StoreError> {
        let mut tx = self.begin().await?;
        let (contract, uid) = (access.contract, access.dataset_uid);
        drop_of_other_lists(&mut tx, contract, uid, access.requesters_root).await?;
        let kind = access.kind.name();
        if access.kind == AccessKind::Approval {
            let sql =
                "DELETE FROM access WHERE kind = $1 AND contract = $2 AND dataset_uid = $3 AND moment < $4";
            let ended = [kind.to_value(), contract.to_value(), uid.to_value(), (now_ms / 1_000).to_value()];
            row::run(&mut tx, sql, &ended).await?;
        }
        let key = [kind.to_value(), contract.to_value(), uid.to_value(), access.requester.to_value()];
        let known = row::get::<AccessRow>(&mut tx, &key).await?;
        if known.as_ref().is_some_and(|known| known.moment > access.moment) {
            return Ok(Kept::Older);
        }
        if known.is_none() {
            let of_dataset = count(&mut tx, &kind, Some((contract, uid))).await?;
            match access.kind {
                AccessKind::Approval if of_dataset >= limits.per_dataset => return Ok(Kept::Full),
                AccessKind::Request if of_dataset >= limits.per_dataset => {
                    remove_first(&mut tx, access.kind, (contract, uid)).await?;
                }
                AccessKind::Approval | AccessKind::Request => {
                    if count(&mut tx, &kind, None).await? >= limits.in_all {
                        let fullest = fullest(&mut tx, &kind).await?.unwrap_or((contract, uid));
                        remove_first(&mut tx, access.kind, fullest).await?;
                    }
                }
            }
        }
        self.boundary()?;
        let row = AccessRow {
            kind,
            contract,
            dataset_uid: uid,
            requester: access.requester,
            requesters_root: access.requesters_root,
            moment: access.moment,
            body: access.body.clone(),
            received_ms: now_ms,
        };
        row::put(&mut tx, &row).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(Kept::Yes)
    }

    /// What is kept of one dataset under its current list, requesters ascending. What was kept under other
    /// lists is gone when this returns.
    ///
    /// # Errors
    /// The database.
    pub async fn access_of(
        &self,
        kind: AccessKind,
        contract: Address,
        dataset_uid: B256,
        requesters_root: B256,
    ) -> Result<Vec<Bytes>, StoreError> {
        let clause = "WHERE kind = $1 AND contract = $2 AND dataset_uid = $3 ORDER BY requester";
        let binds = [kind.name().to_value(), contract.to_value(), dataset_uid.to_value()];
        let rows: Vec<AccessRow> = self.list(clause, &binds).await?;
        let current = |row: &AccessRow| row.requesters_root == requesters_root;
        // A reader that finds nothing to drop must not wait for the writer.
        if !rows.iter().all(current) {
            let mut tx = self.begin().await?;
            drop_of_other_lists(&mut tx, contract, dataset_uid, requesters_root).await?;
            tx.commit().await?;
        }
        Ok(rows.into_iter().filter(current).map(|row| row.body).collect())
    }
}

async fn drop_of_other_lists(
    conn: &mut SqliteConnection,
    contract: Address,
    uid: B256,
    root: B256,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM access WHERE kind IN ('request', 'approval') AND contract = $1 AND dataset_uid = $2 \
               AND requesters_root <> $3";
    row::run(conn, sql, &[contract.to_value(), uid.to_value(), root.to_value()]).await?;
    Ok(())
}

async fn count(
    conn: &mut SqliteConnection,
    kind: &str,
    dataset: Option<(Address, B256)>,
) -> Result<u64, StoreError> {
    let mut binds = vec![Value::Text(kind.into())];
    let mut clause = String::from("WHERE kind = $1");
    if let Some((contract, uid)) = dataset {
        clause.push_str(" AND contract = $2 AND dataset_uid = $3");
        binds.extend([contract.to_value(), uid.to_value()]);
    }
    let rows = row::raw_rows(conn, "access", &["COUNT(*)"], &clause, &binds).await?;
    let counted = rows.into_iter().flatten().next().and_then(u64::from_value);
    counted.ok_or(StoreError::Malformed { what: "access" })
}

/// The dataset that has most of a kind.
async fn fullest(conn: &mut SqliteConnection, kind: &str) -> Result<Option<(Address, B256)>, StoreError> {
    let clause = "WHERE kind = $1 GROUP BY contract, dataset_uid ORDER BY COUNT(*) DESC LIMIT 1";
    let binds = [Value::Text(kind.into())];
    let rows = row::raw_rows(conn, "access", &["contract", "dataset_uid"], clause, &binds).await?;
    let mut found = rows.into_iter().flatten();
    let (contract, uid) =
        (found.next().and_then(Address::from_value), found.next().and_then(B256::from_value));
    Ok(contract.zip(uid))
}

/// Removes the oldest request, or the approval that ends first, of one dataset.
async fn remove_first(
    conn: &mut SqliteConnection,
    kind: AccessKind,
    (contract, uid): (Address, B256),
) -> Result<(), StoreError> {
    let order = match kind {
        AccessKind::Request => "received_ms, requester",
        AccessKind::Approval => "moment, requester",
    };
    let clause = format!("WHERE kind = $1 AND contract = $2 AND dataset_uid = $3 ORDER BY {order} LIMIT 1");
    let binds = [kind.name().to_value(), contract.to_value(), uid.to_value()];
    let Some(first) = row::list::<AccessRow>(conn, &clause, &binds).await?.pop() else { return Ok(()) };
    let sql = "DELETE FROM access WHERE kind = $1 AND contract = $2 AND dataset_uid = $3 AND requester = $4";
    let key = [first.kind.to_value(), contract.to_value(), uid.to_value(), first.requester.to_value()];
    row::run(conn, sql, &key).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Scope;
    use crate::store::tests_support::dump;

    const HERE: Address = Address::repeat_byte(0xc0);
    const LIMITS: AccessLimits = AccessLimits { per_dataset: 3, in_all: 5 };

    fn of(kind: AccessKind, dataset: u8, who: u8, moment: u64) -> Access {
        Access {
            kind,
            contract: HERE,
            dataset_uid: B256::repeat_byte(dataset),
            requester: Address::repeat_byte(who),
            requesters_root: B256::repeat_byte(0xa1),
            moment,
            body: Bytes::from(vec![dataset, who, moment.to_be_bytes()[7]]),
        }
    }

    fn asked(dataset: u8, who: u8, moment: u64) -> Access {
        of(AccessKind::Request, dataset, who, moment)
    }

    fn approved(dataset: u8, who: u8, moment: u64) -> Access {
        of(AccessKind::Approval, dataset, who, moment)
    }

    async fn put(store: &Store, access: &Access, now_ms: u64) -> Kept {
        store.put_access(access, LIMITS, now_ms).await.unwrap()
    }

    async fn who(store: &Store, kind: AccessKind, dataset: u8) -> Vec<u8> {
        let root = B256::repeat_byte(0xa1);
        let bodies = store.access_of(kind, HERE, B256::repeat_byte(dataset), root).await.unwrap();
        bodies.iter().map(|body| body[1]).collect()
    }

    #[tokio::test]
    async fn a_later_request_replaces_an_earlier_one_and_never_the_other_way_round() {
        let store = Store::in_memory().await.unwrap();
        assert_eq!(put(&store, &asked(1, 7, 10), 1).await, Kept::Yes);
        assert_eq!(put(&store, &asked(1, 7, 12), 2).await, Kept::Yes);
        let before = dump(&store).await;
        // Whoever recorded the first one sends it again.
        assert_eq!(put(&store, &asked(1, 7, 10), 3).await, Kept::Older);
        assert_eq!(dump(&store).await, before);
    }

    #[tokio::test]
    async fn of_two_approvals_the_one_that_ends_later_stands() {
        let store = Store::in_memory().await.unwrap();
        let (uid, root) = (B256::repeat_byte(1), B256::repeat_byte(0xa1));
        for (end, kept) in [(100, Kept::Yes), (200, Kept::Yes), (100, Kept::Older), (200, Kept::Yes)] {
            assert_eq!(put(&store, &approved(1, 7, end), 1_000).await, kept);
        }
        let stands = store.access_of(AccessKind::Approval, HERE, uid, root).await.unwrap();
        assert_eq!(stands, [approved(1, 7, 200).body]);
    }

    #[tokio::test]
    async fn a_flood_of_requests_is_bounded_and_removes_no_approval() {
        let store = Store::in_memory().await.unwrap();
        for dataset in 1..=2 {
            assert_eq!(put(&store, &approved(dataset, 9, 100), 0).await, Kept::Yes);
        }
        assert_eq!(put(&store, &asked(2, 1, 1), 1).await, Kept::Yes);
        for n in 10..200 {
            assert_eq!(put(&store, &asked(1, n, 1), u64::from(n)).await, Kept::Yes);
        }
        assert_eq!(who(&store, AccessKind::Request, 1).await, [197, 198, 199], "the newest of a dataset");
        assert_eq!(who(&store, AccessKind::Request, 2).await, [1], "another dataset's stands");
        for n in 10..14 {
            put(&store, &asked(n, n, 1), 1_000).await;
        }
        // Five in all: the dataset with most gave way each time, and then the oldest of equals.
        assert_eq!(who(&store, AccessKind::Request, 13).await, [13]);
        let rows = dump(&store).await;
        assert_eq!(rows.iter().filter(|row| row.contains("request")).count(), 5);
        for dataset in 1..=2 {
            assert_eq!(who(&store, AccessKind::Approval, dataset).await, [9]);
        }
    }

    #[tokio::test]
    async fn approvals_are_bounded_and_what_ended_makes_room() {
        let store = Store::in_memory().await.unwrap();
        for n in 1..=3 {
            assert_eq!(put(&store, &approved(1, n, 10), 0).await, Kept::Yes);
        }
        assert_eq!(put(&store, &approved(1, 4, 99), 9_000).await, Kept::Full);
        assert_eq!(
            put(&store, &approved(1, 3, 99), 9_000).await,
            Kept::Yes,
            "one that stands can be changed"
        );
        assert_eq!(put(&store, &approved(1, 4, 99), 11_000).await, Kept::Yes);
        assert_eq!(who(&store, AccessKind::Approval, 1).await, [3, 4]);
        // An owner of many datasets gives way before one of few.
        put(&store, &approved(2, 1, 5_000), 11_000).await;
        for n in 5..=6 {
            assert_eq!(
                put(&store, &approved(1, n, 99), 11_000).await,
                if n == 5 { Kept::Yes } else { Kept::Full }
            );
        }
        for n in 2..=3 {
            assert_eq!(put(&store, &approved(3, n, 99), 11_000).await, Kept::Yes);
        }
        assert_eq!(who(&store, AccessKind::Approval, 2).await, [1]);
        assert_eq!(who(&store, AccessKind::Approval, 1).await.len(), 2);
    }

    #[tokio::test]
    async fn what_was_said_under_another_list_is_dropped_when_it_is_read_or_written() {
        let store = Store::in_memory().await.unwrap();
        let next = B256::repeat_byte(0xa2);
        for reads in [true, false] {
            put(&store, &asked(1, 7, 10), 1).await;
            put(&store, &approved(1, 7, 100), 1).await;
            put(&store, &asked(2, 7, 10), 1).await;
            if reads {
                let uid = B256::repeat_byte(1);
                let read = store.access_of(AccessKind::Request, HERE, uid, next).await.unwrap();
                assert_eq!(read, Vec::<Bytes>::new());
            } else {
                put(&store, &Access { requesters_root: next, ..asked(1, 8, 1) }, 1).await;
            }
            assert_eq!(who(&store, AccessKind::Approval, 1).await, Vec::<u8>::new());
            assert_eq!(who(&store, AccessKind::Request, 1).await, Vec::<u8>::new());
            assert_eq!(who(&store, AccessKind::Request, 2).await, [7], "another dataset's stands");
        }
    }

    #[tokio::test]
    async fn an_index_that_begins_again_keeps_who_asked() {
        let store = Store::in_memory().await.unwrap();
        store.follow(&Scope::new(Address::repeat_byte(0xcc), &[HERE], 5)).await.unwrap();
        put(&store, &asked(1, 7, 10), 1).await;
        put(&store, &approved(1, 7, 100), 1).await;
        store.follow(&Scope::new(Address::repeat_byte(0xcc), &[HERE], 4)).await.unwrap();
        assert_eq!(who(&store, AccessKind::Request, 1).await, [7]);
        assert_eq!(who(&store, AccessKind::Approval, 1).await, [7]);
    }

    #[tokio::test]
    async fn a_database_of_before_gets_the_table_and_keeps_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.sqlite");
        let store = Store::open(&path).await.unwrap();
        store.put_record("space", "name", b"body", 1).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        row::run(&mut tx, "DROP TABLE access", &[]).await.unwrap();
        row::run(&mut tx, "UPDATE schema_version SET version = 1", &[]).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        let store = Store::open(&path).await.unwrap();
        assert_eq!(put(&store, &asked(1, 7, 10), 1).await, Kept::Yes);
        store.close().await;
        let store = Store::open(&path).await.unwrap();
        assert_eq!(who(&store, AccessKind::Request, 1).await, [7]);
        assert_eq!(store.record("space", "name").await.unwrap(), Some(Bytes::from_static(b"body")));
    }

    #[tokio::test]
    async fn a_power_cut_leaves_the_old_row_or_the_new_one() {
        let store = Store::in_memory().await.unwrap();
        for n in 1..=3 {
            put(&store, &asked(1, n, 1), u64::from(n)).await;
        }
        let before = dump(&store).await;
        for boundary in 0..2 {
            store.fuse.set(boundary);
            assert!(store.put_access(&asked(1, 9, 1), LIMITS, 9).await.is_err());
            store.fuse.set(i64::MAX);
            assert_eq!(dump(&store).await, before, "power cut at boundary {boundary}");
        }
    }
}
