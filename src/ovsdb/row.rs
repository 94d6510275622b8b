//! Rows, and tables whose rows are Rust structs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::value::{Column, Value};

/// Columns by name. In a replica, columns that hold what they began with are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(BTreeMap<Arc<str>, Value>);

/// A column holds something else than the program expects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of table {table} holds {found}, where {expected} is expected")]
pub struct ColumnError {
    /// Of which table.
    pub table: &'static str,
    /// Which column.
    pub column: &'static str,
    /// What this program can read.
    pub expected: &'static str,
    /// What is there, as JSON.
    pub found: String,
}

impl Row {
    /// A row of no columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more column.
    #[must_use]
    pub fn with(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.set(column.into(), value.into());
        self
    }

    /// Writes a column.
    pub fn set(&mut self, column: Arc<str>, value: Value) {
        self.0.insert(column, value);
    }

    /// Takes a column out.
    pub fn take(&mut self, column: &str) -> Option<Value> {
        self.0.remove(column)
    }

    /// What a column holds; nothing, if it is not there or holds what it began with.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column)
    }

    /// All columns.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(column, value)| (&**column, value))
    }

    /// Whether it has no columns: what a difference is that there is not.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The columns in which it is not as `old` is: what an update has to write.
    #[must_use]
    pub fn difference(&self, old: &Self) -> Self {
        let columns = self.0.iter();
        let changed = columns.filter(|(column, value)| old.0.get(*column) != Some(*value));
        Self(
            changed
                .map(|(column, value)| (Arc::clone(column), value.clone()))
                .collect(),
        )
    }

    /// Drops the columns in which it is as `other` is.
    pub fn drop_same(&mut self, other: &Self) {
        self.0
            .retain(|column, value| other.0.get(column) != Some(value));
    }

    /// Reads a column of a table; the default, if it is not there: an older server has no such column, and any server
    /// leaves out what is as it began.
    pub fn read<T: Column + Default>(
        &self,
        table: &'static str,
        column: &'static str,
    ) -> Result<T, ColumnError> {
        let Some(value) = self.get(column) else {
            return Ok(T::default());
        };
        T::from_value(value).ok_or_else(|| ColumnError {
            table,
            column,
            expected: T::EXPECTED,
            found: serde_json::to_string(value).unwrap_or_default(),
        })
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns())
    }
}

/// A table whose rows are a Rust struct. Declared by [`table!`](crate::ovsdb::table).
pub trait Table: Default + Sized {
    /// What the database calls it.
    const NAME: &'static str;
    /// The columns that the program uses.
    const COLUMNS: &'static [&'static str];

    /// Reads a row; columns that are missing have their defaults, and others are of no interest.
    fn from_row(row: &Row) -> Result<Self, ColumnError>;

    /// All columns, also those that hold what they begin with.
    fn to_row(&self) -> Row;
}

/// Declares tables by the columns that a program uses: `field: type`, or `field: type = "column"` where the column's name
/// is a word of Rust's.
///
/// ```
/// use std::collections::BTreeMap;
/// use kilonova::ovsdb::{Table, table};
///
/// table! {
///     /// A switch that is not there.
///     pub struct LogicalSwitch in "Logical_Switch" {
///         /// What people call it.
///         pub name: String,
///         /// Whose it is.
///         pub external_ids: BTreeMap<String, String>,
///     }
/// }
/// assert_eq!(LogicalSwitch::COLUMNS, ["name", "external_ids"]);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! ovsdb_table {
    ($(
        $(#[$words:meta])*
        pub struct $name:ident in $table:literal {
            $(
                $(#[$field_words:meta])*
                pub $field:ident: $kind:ty $(= $column:literal)?,
            )*
        }
    )*) => {$(
        $(#[$words])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[$field_words])*
                pub $field: $kind,
            )*
        }

        impl $crate::ovsdb::Table for $name {
            const NAME: &'static str = $table;
            const COLUMNS: &'static [&'static str] =
                &[$($crate::ovsdb_table!(@column $field $($column)?)),*];

            fn from_row(row: &$crate::ovsdb::Row) -> Result<Self, $crate::ovsdb::ColumnError> {
                Ok(Self {
                    $($field: row.read($table, $crate::ovsdb_table!(@column $field $($column)?))?,)*
                })
            }

            fn to_row(&self) -> $crate::ovsdb::Row {
                $crate::ovsdb::Row::new()
                    $(.with($crate::ovsdb_table!(@column $field $($column)?), self.$field.clone()))*
            }
        }
    )*};
    (@column $field:ident) => { stringify!($field) };
    (@column $field:ident $column:literal) => { $column };
}

/// See [`ovsdb_table`](crate::ovsdb_table).
pub use crate::ovsdb_table as table;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    table! {
        /// Some of it.
        pub struct Acl in "ACL" {
            /// Which packets.
            pub condition: String = "match",
            /// Whose it is.
            pub external_ids: BTreeMap<String, String>,
            /// How often.
            pub meter: Option<String>,
        }
    }

    #[test]
    fn rows_are_read_by_the_columns_that_are_declared() {
        assert_eq!(Acl::COLUMNS, ["match", "external_ids", "meter"]);
        let row = Row::new().with("match", "ip4").with("newer", 7_i64);
        let acl = Acl {
            condition: "ip4".to_owned(),
            ..Acl::default()
        };
        assert_eq!(Acl::from_row(&row).unwrap(), acl);
        assert_eq!(Acl::from_row(&acl.to_row()).unwrap(), acl);
        let error = Acl::from_row(&Row::new().with("meter", 7_i64)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column meter of table ACL holds 7, where a text is expected"
        );
    }

    #[test]
    fn a_difference_is_what_has_to_be_written() {
        let old = Acl {
            condition: "ip4".to_owned(),
            meter: Some("slow".to_owned()),
            ..Acl::default()
        };
        let new = Acl {
            meter: None,
            ..old.clone()
        };
        let difference = new.to_row().difference(&old.to_row());
        assert_eq!(difference, Row::new().with("meter", None::<String>));
        assert!(old.to_row().difference(&old.to_row()).is_empty());
    }
}
