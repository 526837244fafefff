//! Questions to the tables that follow the chain, as the GraphQL shapes them. A column name is only
//! ever one of the table's own; values only ever go in as parameters.

use licen_core::primitives::{Address, B256};

use crate::error::StoreError;
use crate::row::Row;
use crate::store::Store;
use crate::tables::{
    AuditRow, CustodianSetRow, DatasetRow, JobRow, PaymentRow, PolicyRow, ProviderRow, SplitRow,
};
use crate::value::{Column, Value};

/// Deepest nesting of and, or, not.
const MAX_DEPTH: usize = 8;

/// How a column is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Eq(Value),
    /// Not equal.
    Neq(Value),
    /// Greater.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// One of.
    In(Vec<Value>),
    /// Has no value, or has one.
    IsNull(bool),
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// A column compares so.
    Is(String, Op),
    /// All of these; none is true.
    And(Vec<Where>),
    /// Any of these; none is false.
    Or(Vec<Where>),
    /// Not this.
    Not(Box<Where>),
}

/// A question: which rows, in which order, how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Which rows.
    pub filter: Where,
    /// Columns to sort by, each with whether it goes down. The primary key is added, so that two
    /// pages of one question never overlap.
    pub order: Vec<(String, bool)>,
    /// At most this many.
    pub limit: u32,
    /// After skipping this many.
    pub offset: u32,
}

impl Default for Select {
    fn default() -> Self {
        Self { filter: Where::And(Vec::new()), order: Vec::new(), limit: 100, offset: 0 }
    }
}

impl Select {
    /// Rows whose column equals a value.
    #[must_use]
    pub fn eq(column: &str, value: impl Into<Value>) -> Self {
        Self { filter: Where::Is(column.into(), Op::Eq(value.into())), ..Self::default() }
    }
}

struct Clause<'a> {
    table: &'static str,
    columns: &'static [&'static str],
    sql: String,
    binds: Vec<&'a Value>,
}

impl<'a> Clause<'a> {
    fn column(&self, name: &str) -> Result<&'static str, StoreError> {
        self.columns
            .iter()
            .find(|c| **c == name)
            .copied()
            .ok_or_else(|| StoreError::ColumnUnknown { table: self.table, column: name.into() })
    }

    fn push(&mut self, filter: &'a Where, depth: usize) -> Result<(), StoreError> {
        if depth > MAX_DEPTH {
            return Err(StoreError::ColumnUnknown { table: self.table, column: "nested too deep".into() });
        }
        match filter {
            Where::Is(column, op) => self.push_op(column, op),
            Where::And(parts) => self.push_all(parts, " AND ", "1 = 1", depth),
            Where::Or(parts) => self.push_all(parts, " OR ", "1 = 0", depth),
            Where::Not(inner) => {
                self.sql.push_str("NOT (");
                self.push(inner, depth + 1)?;
                self.sql.push(')');
                Ok(())
            }
        }
    }

    fn push_all(
        &mut self,
        parts: &'a [Where],
        between: &str,
        empty: &str,
        depth: usize,
    ) -> Result<(), StoreError> {
        if parts.is_empty() {
            self.sql.push_str(empty);
        }
        for (i, part) in parts.iter().enumerate() {
            self.sql.push_str(if i == 0 { "(" } else { between });
            self.push(part, depth + 1)?;
        }
        if !parts.is_empty() {
            self.sql.push(')');
        }
        Ok(())
    }

    fn push_op(&mut self, column: &str, op: &'a Op) -> Result<(), StoreError> {
        let column = self.column(column)?;
        let (sign, value) = match op {
            Op::Eq(v) => ("=", v),
            Op::Neq(v) => ("<>", v),
            Op::Gt(v) => (">", v),
            Op::Gte(v) => (">=", v),
            Op::Lt(v) => ("<", v),
            Op::Lte(v) => ("<=", v),
            Op::IsNull(null) => {
                let not = if *null { "" } else { "NOT " };
                self.sql.push_str(&format!("{column} IS {not}NULL"));
                return Ok(());
            }
            Op::In(values) => {
                let names: Vec<String> = values.iter().map(|v| self.bind(v)).collect();
                let list = if names.is_empty() { "NULL".into() } else { names.join(", ") };
                self.sql.push_str(&format!("{column} IN ({list})"));
                return Ok(());
            }
        };
        let name = self.bind(value);
        self.sql.push_str(&format!("{column} {sign} {name}"));
        Ok(())
    }

    fn bind(&mut self, value: &'a Value) -> String {
        self.binds.push(value);
        format!("${}", self.binds.len())
    }
}

fn clause_of<R: Row>(select: &Select) -> Result<(String, Vec<Value>), StoreError> {
    let mut clause = Clause { table: R::TABLE, columns: R::COLUMNS, sql: "WHERE ".into(), binds: Vec::new() };
    clause.push(&select.filter, 0)?;
    let mut order = Vec::new();
    for (column, down) in &select.order {
        let direction = if *down { " DESC" } else { "" };
        order.push(format!("{}{direction}", clause.column(column)?));
    }
    order.extend(R::COLUMNS[..R::KEYS].iter().map(ToString::to_string));
    let tail = format!(" ORDER BY {} LIMIT {} OFFSET {}", order.join(", "), select.limit, select.offset);
    let binds = clause.binds.into_iter().cloned().collect();
    Ok((clause.sql + &tail, binds))
}

impl Store {
    async fn select<R: Row>(&self, select: &Select) -> Result<Vec<R>, StoreError> {
        let (clause, binds) = clause_of::<R>(select)?;
        self.list(&clause, &binds).await
    }
}

macro_rules! selects {
    ($($(#[$doc:meta])* $many:ident -> $row:ident;)*) => {
        impl Store {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`StoreError::ColumnUnknown`], the database.
            pub async fn $many(&self, select: &Select) -> Result<Vec<$row>, StoreError> {
                self.select(select).await
            }
        )*}
    };
}
selects! {
    /// Datasets.
    datasets -> DatasetRow;
    /// Policies.
    policies -> PolicyRow;
    /// Jobs.
    jobs -> JobRow;
    /// Lines of history.
    audit_log -> AuditRow;
    /// Versions of custodian sets.
    custodian_sets -> CustodianSetRow;
    /// Providers of compute.
    providers -> ProviderRow;
    /// Accounts that are no addresses, with the splits behind them.
    splits -> SplitRow;
    /// Credits, withdrawals and distributions.
    payments -> PaymentRow;
}

macro_rules! by_key {
    ($($(#[$doc:meta])* $one:ident($($key:ident: $ty:ty),+) -> $row:ident;)*) => {
        impl Store {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// The database.
            pub async fn $one(&self, $($key: $ty),+) -> Result<Option<$row>, StoreError> {
                self.get(&[$($key.to_value()),+]).await
            }
        )*}
    };
}
by_key! {
    /// The dataset with this uid at this `DataPolicy`.
    dataset(contract: Address, dataset_uid: B256) -> DatasetRow;
    /// The policy with this hash at this `DataPolicy`.
    policy(contract: Address, policy_hash: B256) -> PolicyRow;
    /// The job with this id, which names its contract.
    job(job_id: B256) -> JobRow;
    /// The provider with this id.
    provider(provider_id: B256) -> ProviderRow;
    /// What is known of an account that is no address.
    split(account: B256) -> SplitRow;
}
