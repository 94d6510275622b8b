//! What came of a transaction: each operation's result, or which operation failed and why.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use std::collections::BTreeMap;

use super::{Counted, Inserted, Selected, Transaction};
use crate::ovsdb::row::{ColumnError, Row, Table};
use crate::ovsdb::uuid::Uuid;
use crate::ovsdb::value::{Atom, Value};

/// The results of a transaction that has happened.
#[derive(Clone, Debug)]
pub struct Results(Vec<ResultWords>);

/// Why a transaction has not happened. None of its operations has any effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The operation that failed; none, if all were right and the commit failed.
    pub place: Option<Place>,
    /// What kind of fault it is.
    pub fault: Fault,
    /// What the server says about it.
    pub details: String,
}

/// An operation of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which one, counted from 0.
    pub index: usize,
    /// What it does, such as `insert`.
    pub operation: &'static str,
    /// To which table.
    pub table: Option<&'static str>,
}

/// Kinds of faults (RFC 7047, sections 3.1, 4.1.3 and 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A value, or the number of rows, is not what the schema allows; or an index has it twice.
    ConstraintViolation,
    /// A row is referred to that is not there, or shall be deleted and is referred to.
    ReferentialIntegrityViolation,
    /// A guard does not hold.
    TimedOut,
    /// A number is divided by zero.
    DomainError,
    /// A number is too large.
    RangeError,
    /// Two rows have the same name inside of the transaction.
    DuplicateUuidName,
    /// The server has not enough memory or space.
    ResourcesExhausted,
    /// The server cannot write to its disk.
    IoError,
    /// The client has not the lock that it claims.
    NotOwner,
    /// The server's role-based access control does not let this client do it.
    PermissionError,
    /// The server takes no writes.
    NotAllowed,
    /// The server does not know the table, or the column, or finds the operation wrong otherwise.
    SyntaxError,
    /// Any other, in the server's words.
    Other(String),
}

/// A server's answer to a transaction is not what RFC 7047 says that it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer to a transaction of {operations} operations makes no sense: {reason}")]
pub struct SenselessResult {
    operations: usize,
    reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ResultWords {
    error: Option<String>,
    details: Option<String>,
    uuid: Option<Value>,
    count: Option<u64>,
    rows: Option<Vec<BTreeMap<String, Value>>>,
}

impl Results {
    /// Reads the answer to a transaction.
    pub(in crate::ovsdb) fn read(
        transaction: &Transaction,
        answer: &RawValue,
    ) -> Result<Result<Self, Failure>, SenselessResult> {
        let operations = &transaction.operations;
        let senseless = |reason: String| SenselessResult {
            operations: operations.len(),
            reason,
        };
        let results: Vec<Option<ResultWords>> =
            serde_json::from_str(answer.get()).map_err(|error| senseless(error.to_string()))?;
        for (index, result) in results.iter().enumerate() {
            let Some(ResultWords {
                error: Some(error),
                details,
                ..
            }) = result
            else {
                continue;
            };
            let place = operations.get(index).map(|operation| Place {
                index,
                operation: operation.name(),
                table: operation.table(),
            });
            let details = details.clone().unwrap_or_default();
            return Ok(Err(Failure {
                place,
                fault: Fault::named(error),
                details,
            }));
        }
        if results.len() != operations.len() {
            return Err(senseless(format!("it has {} results", results.len())));
        }
        let results: Option<Vec<_>> = results.into_iter().collect();
        let results = results.ok_or_else(|| senseless("an operation did not happen".to_owned()))?;
        Ok(Ok(Self(results)))
    }

    /// The UUID of a row that was inserted; none, if that was done by another transaction.
    pub fn uuid(&self, inserted: &Inserted) -> Option<Uuid> {
        match self.0.get(inserted.index)?.uuid.as_ref()? {
            Value::One(Atom::Uuid(uuid)) => Some(*uuid),
            _ => None,
        }
    }

    /// How many rows were changed; none, if that was done by another transaction.
    pub fn count(&self, counted: &Counted) -> Option<u64> {
        self.0.get(counted.index)?.count
    }

    /// The rows that were read; none, if that was done by another transaction.
    pub fn rows<T: Table>(&self, selected: &Selected<T>) -> Result<Vec<(Uuid, T)>, ColumnError> {
        let result = self.0.get(selected.index);
        let rows = result.and_then(|result| result.rows.as_deref());
        let read = |columns: &BTreeMap<String, Value>| {
            let mut row = Row::new();
            for (column, value) in columns {
                row.set(column.as_str().into(), value.clone());
            }
            Ok((row.read(T::NAME, "_uuid")?, T::from_row(&row)?))
        };
        rows.unwrap_or_default().iter().map(read).collect()
    }
}

impl Fault {
    fn named(error: &str) -> Self {
        match error {
            "constraint violation" => Self::ConstraintViolation,
            "referential integrity violation" => Self::ReferentialIntegrityViolation,
            "timed out" => Self::TimedOut,
            "domain error" => Self::DomainError,
            "range error" => Self::RangeError,
            "duplicate uuid-name" | "duplicate uuid name" => Self::DuplicateUuidName,
            "resources exhausted" => Self::ResourcesExhausted,
            "I/O error" => Self::IoError,
            "not owner" => Self::NotOwner,
            "permission error" => Self::PermissionError,
            "not allowed" => Self::NotAllowed,
            "syntax error" | "unknown table" | "unknown column" => Self::SyntaxError,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConstraintViolation => "constraint violation",
            Self::ReferentialIntegrityViolation => "referential integrity violation",
            Self::TimedOut => "timed out",
            Self::DomainError => "domain error",
            Self::RangeError => "range error",
            Self::DuplicateUuidName => "duplicate uuid-name",
            Self::ResourcesExhausted => "resources exhausted",
            Self::IoError => "I/O error",
            Self::NotOwner => "not owner",
            Self::PermissionError => "permission error",
            Self::NotAllowed => "not allowed",
            Self::SyntaxError => "syntax error",
            Self::Other(words) => words,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            None => write!(f, "commit")?,
            Some(Place {
                index,
                operation,
                table: None,
            }) => {
                write!(f, "{operation} (operation {index})")?;
            }
            Some(Place {
                index,
                operation,
                table: Some(table),
            }) => {
                write!(f, "{operation} in table {table} (operation {index})")?;
            }
        }
        write!(f, ": {}", self.fault)?;
        if !self.details.is_empty() {
            write!(f, ": {}", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
