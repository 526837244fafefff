//! One database value, and how the types of LICEN become one. Only forms that every engine has.

use licen_core::primitives::{Address, B256, Bytes, U256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use crate::error::StoreError;

/// A value as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    pub(crate) fn read(row: &SqliteRow, index: usize) -> Result<Self, StoreError> {
        let raw = row.try_get_raw(index)?;
        if raw.is_null() {
            return Ok(Self::Null);
        }
        let name = raw.type_info().name().to_string();
        Ok(match name.as_str() {
            "INTEGER" => Self::Int(row.try_get(index)?),
            "TEXT" => Self::Text(row.try_get(index)?),
            "BLOB" => Self::Blob(row.try_get(index)?),
            _ => return Err(StoreError::Malformed { what: "column type" }),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (tag, body): (u8, &[u8]) = match self {
            Self::Null => (0, &[]),
            Self::Int(i) => (1, &i.to_be_bytes()),
            Self::Text(t) => (2, t.as_bytes()),
            Self::Blob(b) => (3, b),
        };
        out.push(tag);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        out.extend_from_slice(body);
    }
}

/// The bytes of a row in the undo journal: tag, length and body of each value in column order.
pub(crate) fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        value.write(&mut out);
    }
    out
}

/// The inverse of [`encode`].
pub(crate) fn decode(mut bytes: &[u8]) -> Result<Vec<Value>, StoreError> {
    const BAD: StoreError = StoreError::Malformed { what: "journal" };
    let mut out = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let (length, rest) = rest.split_first_chunk::<8>().ok_or(BAD)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| BAD)?;
        let (body, rest) = rest.split_at_checked(length).ok_or(BAD)?;
        out.push(match tag {
            0 => Value::Null,
            1 => Value::Int(i64::from_be_bytes(body.try_into().map_err(|_| BAD)?)),
            2 => Value::Text(String::from_utf8(body.to_vec()).map_err(|_| BAD)?),
            3 => Value::Blob(body.to_vec()),
            _ => return Err(BAD),
        });
        bytes = rest;
    }
    Ok(out)
}

/// A type that stands in one column.
pub(crate) trait Column: Sized {
    fn to_value(&self) -> Value;
    /// `None` where the value has another form.
    fn from_value(value: Value) -> Option<Self>;
}

impl Column for u64 {
    /// Numbers beyond 2^63 (deadlines meaning "never") are kept as 2^63 - 1: they sort the same.
    fn to_value(&self) -> Value {
        Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(i) => u64::try_from(i).ok(),
            Value::Null | Value::Text(_) | Value::Blob(_) => None,
        }
    }
}

macro_rules! small_int {
    ($($t:ty),*) => {$(
        impl Column for $t {
            fn to_value(&self) -> Value {
                Value::Int(i64::from(*self))
            }
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Int(i) => <$t>::try_from(i).ok(),
                    Value::Null | Value::Text(_) | Value::Blob(_) => None,
                }
            }
        }
    )*};
}
small_int!(u8, u16, u32);

impl Column for bool {
    fn to_value(&self) -> Value {
        Value::Int(i64::from(*self))
    }
    fn from_value(value: Value) -> Option<Self> {
        u8::from_value(value).filter(|b| *b < 2).map(|b| b == 1)
    }
}

impl Column for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(t) => Some(t),
            Value::Null | Value::Int(_) | Value::Blob(_) => None,
        }
    }
}

impl Column for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Blob(self.clone())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Blob(b) => Some(b),
            Value::Null | Value::Int(_) | Value::Text(_) => None,
        }
    }
}

impl Column for Bytes {
    fn to_value(&self) -> Value {
        Value::Blob(self.to_vec())
    }
    fn from_value(value: Value) -> Option<Self> {
        Vec::from_value(value).map(Self::from)
    }
}

impl Column for B256 {
    fn to_value(&self) -> Value {
        Value::Blob(self.to_vec())
    }
    fn from_value(value: Value) -> Option<Self> {
        Self::try_from(Vec::from_value(value)?.as_slice()).ok()
    }
}

impl Column for Address {
    fn to_value(&self) -> Value {
        Value::Blob(self.to_vec())
    }
    fn from_value(value: Value) -> Option<Self> {
        Self::try_from(Vec::from_value(value)?.as_slice()).ok()
    }
}

impl Column for U256 {
    /// 32 big-endian bytes: lossless, and sorts as the number does.
    fn to_value(&self) -> Value {
        Value::Blob(self.to_be_bytes_vec())
    }
    fn from_value(value: Value) -> Option<Self> {
        B256::from_value(value).map(|b| Self::from_be_bytes(b.0))
    }
}

impl<T: Column> Column for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Column::to_value)
    }
    fn from_value(value: Value) -> Option<Self> {
        if value == Value::Null {
            return Some(None);
        }
        T::from_value(value).map(Some)
    }
}

macro_rules! from_column {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(value: $t) -> Self {
                value.to_value()
            }
        }
    )*};
}
from_column!(bool, u8, u32, u64, String, Vec<u8>, B256, Address, U256);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_the_journal_form() {
        let row =
            vec![Value::Null, Value::Int(-7), Value::Text("é".into()), Value::Blob(vec![0, 1]), Value::Null];
        assert_eq!(decode(&encode(&row)).unwrap(), row);
        let bytes = encode(&row);
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode(&[9, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn numbers_sort_as_blobs() {
        let Value::Blob(small) = U256::from(255).to_value() else { panic!("not a blob") };
        let Value::Blob(large) = U256::from(256).to_value() else { panic!("not a blob") };
        assert!(small < large);
        assert_eq!(u64::from_value(u64::MAX.to_value()), Some(i64::MAX as u64));
    }
}
