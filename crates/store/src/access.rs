//! Who asked for access to a dataset, and whom its owner approved. Everybody may write a request, so
//! their number is bounded here, in the transaction that writes. Which list is current is what the index
//! says at that moment, and it takes that back (a reorg) and begins again (a contract that joins): what
//! was said under another list is hidden, and removed only where something needs its place.

use licen_core::abi::Policy;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::sol_types::SolValue;
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::row::{self, Row};
use crate::store::Store;
use crate::tables::{DatasetRow, PolicyRow};
use crate::value::{Column, Value};

row::row! {
    /// A request or an approval of one requester under one list.
    pub(crate) AccessRow in "access" {
        kind: String,
        contract: Address,
        dataset_uid: B256,
        requester: Address,
        requesters_root: B256;
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
    /// The list that it was said under.
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
    /// Another one of the same requester stands that is as new, or ends as late, or later.
    Older,
    /// The list that it was said under is not the dataset's current one.
    OtherList,
    /// The dataset has as many approvals as are kept of one.
    Full,
    /// All datasets together have as many approvals as are kept.
    FullInAll,
}

impl Store {
    /// What [`Self::put_access`] would answer without writing anything, because the same stands already or
    /// one that is as late; `None` where it would have to write.
    ///
    /// # Errors
    /// The database.
    pub async fn access_stands(&self, access: &Access) -> Result<Option<Kept>, StoreError> {
        let known = self.get::<AccessRow>(&key(access)).await?;
        Ok(known.and_then(|known| stands(&known, access)))
    }

    /// Keeps a request or an approval in the place of the same requester's under the same list, unless that
    /// has as late a moment: whoever recorded an old one cannot bring it back, and an approval holds on
    /// chain until it ends, whatever its owner signs after it. The list must be the dataset's current one
    /// in this transaction, because what is kept may have waited since somebody looked.
    ///
    /// Where there is no room, a request makes some: the oldest of its dataset goes, or the oldest of the
    /// dataset that has most. An approval takes the place of one that ended, of any dataset, or of one of its
    /// own dataset under another list, or is not kept: nobody's approval removes another owner's, and no
    /// request removes any.
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
        let current = current_list(&mut tx, access.contract, access.dataset_uid).await?;
        if current != Some(access.requesters_root) {
            return Ok(Kept::OtherList);
        }
        let known = row::get::<AccessRow>(&mut tx, &key(access)).await?;
        if let Some(answer) = known.as_ref().and_then(|known| stands(known, access)) {
            return Ok(answer);
        }
        if known.is_none() {
            let refused = match access.kind {
                AccessKind::Request => room_for_a_request(&mut tx, access, limits).await?,
                AccessKind::Approval => room_for_an_approval(&mut tx, access, limits, now_ms).await?,
            };
            if let Some(refused) = refused {
                return Ok(refused);
            }
        }
        self.boundary()?;
        let row = AccessRow {
            kind: access.kind.name(),
            contract: access.contract,
            dataset_uid: access.dataset_uid,
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

    /// What is kept of one dataset under one list, requesters ascending.
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
        let clause = "WHERE kind = $1 AND contract = $2 AND dataset_uid = $3 AND requesters_root = $4 \
                      ORDER BY requester";
        let (uid, root) = (dataset_uid.to_value(), requesters_root.to_value());
        let rows: Vec<AccessRow> =
            self.list(clause, &[kind.name().to_value(), contract.to_value(), uid, root]).await?;
        Ok(rows.into_iter().map(|row| row.body).collect())
    }
}

fn key(access: &Access) -> [Value; 5] {
    [
        access.kind.name().to_value(),
        access.contract.to_value(),
        access.dataset_uid.to_value(),
        access.requester.to_value(),
        access.requesters_root.to_value(),
    ]
}

fn stands(known: &AccessRow, access: &Access) -> Option<Kept> {
    if known.body == access.body {
        return Some(Kept::Yes);
    }
    // As the column holds it, or of two that never end the shorter would seem later.
    (known.moment >= access.moment.min(i64::MAX.unsigned_abs())).then_some(Kept::Older)
}

/// The list of a dataset's current policy, as the index has it.
async fn current_list(
    conn: &mut SqliteConnection,
    contract: Address,
    uid: B256,
) -> Result<Option<B256>, StoreError> {
    let dataset = row::get::<DatasetRow>(conn, &[contract.to_value(), uid.to_value()]).await?;
    let Some(dataset) = dataset else { return Ok(None) };
    let key = [contract.to_value(), dataset.policy_hash.to_value()];
    let Some(row) = row::get::<PolicyRow>(conn, &key).await? else { return Ok(None) };
    match Policy::abi_decode(&row.policy_abi) {
        Ok(policy) => Ok(Some(policy.requestersRoot)),
        Err(_) => Err(StoreError::Malformed { what: "policies.policy_abi" }),
    }
}

/// Never refuses.
async fn room_for_a_request(
    conn: &mut SqliteConnection,
    access: &Access,
    limits: AccessLimits,
) -> Result<Option<Kept>, StoreError> {
    let own = (access.contract, access.dataset_uid);
    let kind = access.kind.name();
    let crowded = if count(conn, &kind, Some(own)).await? >= limits.per_dataset {
        Some(own)
    } else if count(conn, &kind, None).await? >= limits.in_all {
        fullest(conn, &kind).await?
    } else {
        None
    };
    if let Some((contract, uid)) = crowded {
        // Where the index does not know the dataset, all lists are alike.
        let current = current_list(conn, contract, uid).await?.unwrap_or_default();
        let clause = "ORDER BY requesters_root = $4, received_ms, requester";
        remove_first(conn, &kind, (contract, uid), clause, current).await?;
    }
    Ok(None)
}

async fn room_for_an_approval(
    conn: &mut SqliteConnection,
    access: &Access,
    limits: AccessLimits,
    now_ms: u64,
) -> Result<Option<Kept>, StoreError> {
    let own = (access.contract, access.dataset_uid);
    let kind = access.kind.name();
    let mut refused = no_room(conn, &kind, own, limits).await?;
    if refused.is_some() {
        let sql = "DELETE FROM access WHERE kind = $1 AND moment < $2";
        row::run(conn, sql, &[kind.to_value(), (now_ms / 1_000).to_value()]).await?;
        refused = no_room(conn, &kind, own, limits).await?;
    }
    let clause = "AND requesters_root <> $4 ORDER BY received_ms, requester";
    if refused.is_some() && remove_first(conn, &kind, own, clause, access.requesters_root).await? {
        refused = no_room(conn, &kind, own, limits).await?;
    }
    Ok(refused)
}

async fn no_room(
    conn: &mut SqliteConnection,
    kind: &str,
    own: (Address, B256),
    limits: AccessLimits,
) -> Result<Option<Kept>, StoreError> {
    if count(conn, kind, Some(own)).await? >= limits.per_dataset {
        return Ok(Some(Kept::Full));
    }
    let in_all = count(conn, kind, None).await?;
    Ok((in_all >= limits.in_all).then_some(Kept::FullInAll))
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

/// Removes the row of a dataset and kind that a clause of ours finds first; says whether there was one.
async fn remove_first(
    conn: &mut SqliteConnection,
    kind: &str,
    (contract, uid): (Address, B256),
    clause: &str,
    list: B256,
) -> Result<bool, StoreError> {
    let clause = format!("WHERE kind = $1 AND contract = $2 AND dataset_uid = $3 {clause} LIMIT 1");
    let binds = [kind.to_string().to_value(), contract.to_value(), uid.to_value(), list.to_value()];
    let Some(first) = row::list::<AccessRow>(conn, &clause, &binds).await?.pop() else { return Ok(false) };
    let sql = format!("DELETE FROM access WHERE {}", row::key_clause(&AccessRow::COLUMNS[..AccessRow::KEYS]));
    row::run(conn, &sql, &first.values()[..AccessRow::KEYS]).await?;
    Ok(true)
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
