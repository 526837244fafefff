//! Rows: a struct per table, and the handful of statements every table needs.

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Sqlite};

use crate::error::StoreError;
use crate::value::Value;

/// A row of one table; its key columns come first.
pub(crate) trait Row: Sized {
    const TABLE: &'static str;
    const COLUMNS: &'static [&'static str];
    /// How many of the first columns are the primary key.
    const KEYS: usize;
    fn values(&self) -> Vec<Value>;
    fn from_values(values: Vec<Value>) -> Result<Self, StoreError>;
}

/// Declares a row struct and its [`Row`] implementation. The fields up to `;` are the primary key.
macro_rules! row {
    (
        $(#[$doc:meta])*
        $vis:vis $name:ident in $table:literal {
            $($(#[$kdoc:meta])* $key:ident : $kty:ty),+ ;
            $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$kdoc])* pub $key: $kty,)+
            $($(#[$fdoc])* pub $field: $ty,)*
        }
        impl $crate::row::Row for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($key),)+ $(stringify!($field),)*];
            const KEYS: usize = [$(stringify!($key)),+].len();
            fn values(&self) -> Vec<$crate::value::Value> {
                use $crate::value::Column as _;
                vec![$(self.$key.to_value(),)+ $(self.$field.to_value(),)*]
            }
            fn from_values(values: Vec<$crate::value::Value>) -> Result<Self, $crate::error::StoreError> {
                use $crate::value::Column as _;
                let mut values = values.into_iter();
                Ok(Self {
                    $($key: values.next().and_then(<$kty>::from_value).ok_or(
                        $crate::error::StoreError::Malformed {
                            what: concat!($table, ".", stringify!($key)),
                        })?,)+
                    $($field: values.next().and_then(<$ty>::from_value).ok_or(
                        $crate::error::StoreError::Malformed {
                            what: concat!($table, ".", stringify!($field)),
                        })?,)*
                })
            }
        }
    };
}
pub(crate) use row;

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A statement whose text this crate made from constants; values only ever go in as parameters.
pub(crate) fn statement(sql: String, values: &[Value]) -> Query<'static> {
    let mut query = sqlx::query::<Sqlite>(AssertSqlSafe(sql));
    for value in values {
        query = match value.clone() {
            Value::Null => query.bind(None::<i64>),
            Value::Int(i) => query.bind(i),
            Value::Text(t) => query.bind(t),
            Value::Blob(b) => query.bind(b),
        };
    }
    query
}

fn placeholders(count: usize) -> String {
    let names: Vec<String> = (1..=count).map(|i| format!("${i}")).collect();
    names.join(", ")
}

/// `a = $1 AND b = $2` for the key columns.
pub(crate) fn key_clause(columns: &[&str]) -> String {
    let parts: Vec<String> = columns.iter().enumerate().map(|(i, c)| format!("{c} = ${}", i + 1)).collect();
    parts.join(" AND ")
}

pub(crate) fn insert_sql(table: &str, columns: &[&str]) -> String {
    format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), placeholders(columns.len()))
}

/// Writes a row over whatever has its key.
pub(crate) async fn put<R: Row>(conn: &mut SqliteConnection, row: &R) -> Result<(), StoreError> {
    let (keys, fields) = R::COLUMNS.split_at(R::KEYS);
    let sets: Vec<String> = fields.iter().map(|c| format!("{c} = excluded.{c}")).collect();
    let action = if sets.is_empty() { "NOTHING".into() } else { format!("UPDATE SET {}", sets.join(", ")) };
    let sql = format!("{} ON CONFLICT ({}) DO {action}", insert_sql(R::TABLE, R::COLUMNS), keys.join(", "));
    statement(sql, &row.values()).execute(conn).await?;
    Ok(())
}

/// Writes a row unless its key is taken; says whether it wrote.
pub(crate) async fn insert<R: Row>(conn: &mut SqliteConnection, row: &R) -> Result<bool, StoreError> {
    let keys = R::COLUMNS[..R::KEYS].join(", ");
    let sql = format!("{} ON CONFLICT ({keys}) DO NOTHING", insert_sql(R::TABLE, R::COLUMNS));
    Ok(statement(sql, &row.values()).execute(conn).await?.rows_affected() > 0)
}

/// The row with this key.
pub(crate) async fn get<R: Row>(conn: &mut SqliteConnection, key: &[Value]) -> Result<Option<R>, StoreError> {
    let clause = key_clause(&R::COLUMNS[..R::KEYS]);
    Ok(list(conn, &format!("WHERE {clause}"), key).await?.pop())
}

/// The rows that a clause of ours (`WHERE .. ORDER BY .. LIMIT ..`) selects.
pub(crate) async fn list<R: Row>(
    conn: &mut SqliteConnection,
    clause: &str,
    binds: &[Value],
) -> Result<Vec<R>, StoreError> {
    let rows = raw_rows(conn, R::TABLE, R::COLUMNS, clause, binds).await?;
    rows.into_iter().map(R::from_values).collect()
}

/// The same, untyped.
pub(crate) async fn raw_rows(
    conn: &mut SqliteConnection,
    table: &str,
    columns: &[&str],
    clause: &str,
    binds: &[Value],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let sql = format!("SELECT {} FROM {table} {clause}", columns.join(", "));
    let rows = statement(sql, binds).fetch_all(conn).await?;
    rows.iter().map(|row| (0..columns.len()).map(|i| Value::read(row, i)).collect()).collect()
}

/// Runs a statement of ours that returns no rows; how many rows it touched.
pub(crate) async fn run(conn: &mut SqliteConnection, sql: &str, binds: &[Value]) -> Result<u64, StoreError> {
    Ok(statement(sql.to_string(), binds).execute(conn).await?.rows_affected())
}
