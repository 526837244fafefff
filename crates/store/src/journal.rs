//! The undo journal: what a row was before a block changed it, for as long as the block may vanish.

use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::row::{self, Row};
use crate::tables::{
    AuditRow, BlockRow, CustodianSetRow, DatasetRow, JobRow, PaymentRow, PolicyRow, ProviderRow, SplitRow,
};
use crate::value::{Column, Value, decode, encode};

/// What the journal needs to know of a table to put a row back.
struct Entity {
    table: &'static str,
    columns: &'static [&'static str],
    keys: usize,
}

const fn entity<R: Row>() -> Entity {
    Entity { table: R::TABLE, columns: R::COLUMNS, keys: R::KEYS }
}

/// Every table that follows the chain.
const ENTITIES: &[Entity] = &[
    entity::<DatasetRow>(),
    entity::<PolicyRow>(),
    entity::<JobRow>(),
    entity::<AuditRow>(),
    entity::<CustodianSetRow>(),
    entity::<ProviderRow>(),
    entity::<SplitRow>(),
    entity::<PaymentRow>(),
];

/// Writes a row and, where `block` may still vanish, keeps what the row was before that block. Only
/// the first change of a row in a block is kept: undoing a block undoes all of it.
pub(crate) async fn put<R: Row>(
    conn: &mut SqliteConnection,
    block: u64,
    finalized: u64,
    row: &R,
) -> Result<(), StoreError> {
    if block > finalized {
        let mut key = row.values();
        key.truncate(R::KEYS);
        let old = row::get::<R>(conn, &key).await?.map(|old| encode(&old.values()));
        let sql = "INSERT INTO journal (block, entity, row_key, old) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (block, entity, row_key) DO NOTHING";
        let values =
            [block.to_value(), Value::Text(R::TABLE.into()), encode(&key).to_value(), old.to_value()];
        row::run(conn, sql, &values).await?;
    }
    row::put(conn, row).await
}

/// Takes back every block above `to`, newest first, and returns the block that is now the last.
pub(crate) async fn undo(conn: &mut SqliteConnection, to: u64) -> Result<BlockRow, StoreError> {
    let Some(last) = row::get::<BlockRow>(conn, &[to.to_value()]).await? else {
        let window = row::list::<BlockRow>(conn, "ORDER BY number LIMIT 1", &[]).await?;
        let oldest = window.first().map_or(u64::MAX, |b| b.number);
        return Err(StoreError::UndoTooDeep { to, oldest });
    };
    let columns = ["entity", "row_key", "old"];
    let clause = "WHERE block > $1 ORDER BY block DESC";
    for entry in row::raw_rows(conn, "journal", &columns, clause, &[to.to_value()]).await? {
        restore(conn, entry).await?;
    }
    row::run(conn, "DELETE FROM journal WHERE block > $1", &[to.to_value()]).await?;
    row::run(conn, "DELETE FROM blocks WHERE number > $1", &[to.to_value()]).await?;
    Ok(last)
}

async fn restore(conn: &mut SqliteConnection, entry: Vec<Value>) -> Result<(), StoreError> {
    const BAD: StoreError = StoreError::Malformed { what: "journal" };
    let Ok([name, key, old]) = <[Value; 3]>::try_from(entry) else { return Err(BAD) };
    let name = String::from_value(name).ok_or(BAD)?;
    let key = decode(&Vec::from_value(key).ok_or(BAD)?)?;
    let entity = ENTITIES.iter().find(|e| e.table == name).ok_or(BAD)?;
    let clause = row::key_clause(&entity.columns[..entity.keys]);
    row::run(conn, &format!("DELETE FROM {} WHERE {clause}", entity.table), &key).await?;
    if let Some(old) = Option::<Vec<u8>>::from_value(old).ok_or(BAD)? {
        let values = decode(&old)?;
        if values.len() != entity.columns.len() {
            return Err(BAD);
        }
        row::run(conn, &row::insert_sql(entity.table, entity.columns), &values).await?;
    }
    Ok(())
}

/// Forgets what can no longer be taken back. The final block itself stays as the anchor.
pub(crate) async fn prune(conn: &mut SqliteConnection, finalized: u64) -> Result<(), StoreError> {
    row::run(conn, "DELETE FROM journal WHERE block <= $1", &[finalized.to_value()]).await?;
    row::run(conn, "DELETE FROM blocks WHERE number < $1", &[finalized.to_value()]).await?;
    Ok(())
}

/// Empties every table that follows the chain: following begins at the first block again.
pub(crate) async fn clear(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let tables = ENTITIES.iter().map(|entity| entity.table).chain(["journal", "blocks", "cursor"]);
    for table in tables {
        row::run(conn, &format!("DELETE FROM {table}"), &[]).await?;
    }
    Ok(())
}
