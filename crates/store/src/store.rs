//! Opening a database, pinning it to a chain, and the two pools.

use std::path::Path;
use std::time::Duration;

use licen_core::primitives::B256;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::error::StoreError;
use crate::row::{self, Row};
use crate::schema::MIGRATIONS;
use crate::value::{Column, Value};

/// Readers beside the one writer.
const READERS: u32 = 4;
/// How long a statement waits for another process to let go of the file.
const BUSY: Duration = Duration::from_secs(10);

/// The chain that a database belongs to; it may hold records of any contract there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0: two chains with one id differ here.
    pub genesis_hash: B256,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "chain {} genesis {}", self.chain_id, self.genesis_hash)
    }
}

/// A role's database: one writer, several readers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    #[cfg(test)]
    pub(crate) fuse: std::sync::Arc<crate::store::tests_support::Fuse>,
}

impl Store {
    /// Opens or creates the database file and brings its schema up to date.
    ///
    /// # Errors
    /// An unreadable or newer file.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let opened = async {
            let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
            migrate(&writer).await?;
            let options = options.read_only(true);
            let reader = SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?;
            Ok(Self::of(writer, reader))
        };
        opened.await.map_err(|error: StoreError| match error {
            StoreError::Database(e) => {
                StoreError::Open { path: path.display().to_string(), reason: e.to_string() }
            }
            other => other,
        })
    }

    /// A database that ends with the process; for tests.
    ///
    /// # Errors
    /// The engine does not start.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().in_memory(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        migrate(&pool).await?;
        Ok(Self::of(pool.clone(), pool))
    }

    fn of(writer: SqlitePool, reader: SqlitePool) -> Self {
        Self {
            writer,
            reader,
            #[cfg(test)]
            fuse: std::sync::Arc::default(),
        }
    }

    /// Ties the database to a chain the first time, and refuses any other ever after.
    ///
    /// # Errors
    /// [`StoreError::OtherChain`] where it belongs to another.
    pub async fn pin(&self, identity: &Identity) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let given = identity.to_string();
        let sql = "INSERT INTO meta (name, value) VALUES ('identity', $1) ON CONFLICT (name) DO NOTHING";
        row::run(&mut tx, sql, &[given.to_value()]).await?;
        let stored = row::raw_rows(&mut tx, "meta", &["value"], "WHERE name = 'identity'", &[]).await?;
        let stored = stored.into_iter().flatten().next().and_then(String::from_value);
        let stored = stored.ok_or(StoreError::Malformed { what: "meta.identity" })?;
        if stored != given {
            return Err(StoreError::OtherChain { stored, given });
        }
        tx.commit().await?;
        Ok(())
    }

    /// Waits until everything is written and closes the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// A write transaction; dropping it undoes it. There is one at a time.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    pub(crate) async fn read(&self) -> Result<sqlx::pool::PoolConnection<Sqlite>, StoreError> {
        Ok(self.reader.acquire().await?)
    }

    pub(crate) async fn get<R: Row>(&self, key: &[Value]) -> Result<Option<R>, StoreError> {
        row::get(&mut *self.read().await?, key).await
    }

    pub(crate) async fn list<R: Row>(&self, clause: &str, binds: &[Value]) -> Result<Vec<R>, StoreError> {
        row::list(&mut *self.read().await?, clause, binds).await
    }

    /// Where a test cuts the power.
    #[allow(clippy::unused_self)]
    pub(crate) fn boundary(&self) -> Result<(), StoreError> {
        #[cfg(test)]
        self.fuse.burn()?;
        Ok(())
    }
}

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let sql = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
    row::run(&mut tx, sql, &[]).await?;
    let found = schema_version(&mut tx).await?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        sqlx::raw_sql(*migration).execute(&mut *tx).await?;
    }
    if found < known {
        row::run(&mut tx, "DELETE FROM schema_version", &[]).await?;
        row::run(&mut tx, "INSERT INTO schema_version (version) VALUES ($1)", &[Value::Int(known)]).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn schema_version(conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    let rows = row::raw_rows(conn, "schema_version", &["version"], "", &[]).await?;
    match rows.into_iter().flatten().next() {
        None => Ok(0),
        Some(Value::Int(version)) => Ok(version),
        Some(Value::Null | Value::Text(_) | Value::Blob(_)) => {
            Err(StoreError::Malformed { what: "schema_version.version" })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Burns through after a number of boundaries, as a power cut would.
    #[derive(Debug)]
    pub(crate) struct Fuse(AtomicI64);

    impl Default for Fuse {
        fn default() -> Self {
            Self(AtomicI64::new(i64::MAX))
        }
    }

    impl Fuse {
        pub(crate) fn set(&self, boundaries: i64) {
            self.0.store(boundaries, Ordering::SeqCst);
        }

        pub(crate) fn burn(&self) -> Result<(), StoreError> {
            if self.0.fetch_sub(1, Ordering::SeqCst) <= 0 {
                return Err(StoreError::Database(sqlx::Error::WorkerCrashed));
            }
            Ok(())
        }
    }

    /// Every row of every table, to compare two states byte by byte.
    pub(crate) async fn dump(store: &Store) -> Vec<String> {
        let mut conn = store.read().await.unwrap();
        let tables = row::raw_rows(
            &mut conn,
            "sqlite_master",
            &["name"],
            "WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
            &[],
        )
        .await
        .unwrap();
        let mut out = Vec::new();
        for table in tables.into_iter().flatten().filter_map(String::from_value) {
            let sql = format!("SELECT * FROM {table}");
            let rows = row::statement(sql, &[]).fetch_all(&mut *conn).await.unwrap();
            let mut lines: Vec<String> = rows
                .iter()
                .map(|r| {
                    let values: Vec<Value> =
                        (0..sqlx::Row::len(r)).map(|i| Value::read(r, i).unwrap()).collect();
                    format!("{table} {values:?}")
                })
                .collect();
            lines.sort();
            out.extend(lines);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(chain_id: u64, genesis: u8) -> Identity {
        Identity { chain_id, genesis_hash: B256::repeat_byte(genesis) }
    }

    #[tokio::test]
    async fn a_database_belongs_to_one_chain_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("licen.db");
        let store = Store::open(&path).await.unwrap();
        store.pin(&identity(31337, 1)).await.unwrap();
        store.pin(&identity(31337, 1)).await.unwrap();
        store.close().await;
        let store = Store::open(&path).await.unwrap();
        let refused = store.pin(&identity(31337, 2)).await;
        assert!(matches!(refused, Err(StoreError::OtherChain { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_newer_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("licen.db");
        let store = Store::open(&path).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        row::run(&mut tx, "UPDATE schema_version SET version = 99", &[]).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        let refused = Store::open(&path).await;
        assert!(matches!(refused, Err(StoreError::SchemaTooNew { found: 99, .. })));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("licen.db");
        std::fs::write(
            &path,
            b"certainly not a database, and longer than a header would be, by far, so that it is read",
        )
        .unwrap();
        assert!(matches!(Store::open(&path).await, Err(StoreError::Open { .. })));
        assert!(std::fs::read(&path).unwrap().starts_with(b"certainly"));
    }

    #[tokio::test]
    async fn writes_survive_power_loss() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("licen.db")).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let mode = sqlx::query_scalar::<_, String>("PRAGMA journal_mode").fetch_one(&mut *tx).await.unwrap();
        let sync = sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(&mut *tx).await.unwrap();
        assert_eq!((mode.as_str(), sync), ("wal", 2));
    }
}
