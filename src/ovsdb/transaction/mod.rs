//! Transactions: a list of operations that happen together or not at all (RFC 7047, section 4.1.3).

mod operation;
mod results;

use std::marker::PhantomData;
use std::time::Duration;

use serde::ser::{Serialize, SerializeSeq, Serializer};

pub use operation::{Condition, Function, Mutation, Mutator, Until};
pub use results::{Failure, Fault, Place, Results, SenselessResult};

use operation::Operation;

use super::row::{Row, Table};
use super::uuid::Uuid;
use super::value::Reference;

/// Operations, in their order. Nothing happens until it is given to a [`Session`](crate::ovsdb::Session).
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    operations: Vec<Operation>,
}

/// A row that a transaction inserts: names it inside of the transaction, and afterwards finds its UUID in the results.
#[derive(Clone, Debug)]
pub struct Inserted {
    index: usize,
    name: String,
}

/// Rows that a transaction reads: finds them in the results.
#[derive(Clone, Debug)]
pub struct Selected<T> {
    index: usize,
    table: PhantomData<T>,
}

/// Rows that a transaction changes: finds in the results how many they were.
#[derive(Clone, Debug)]
pub struct Counted {
    index: usize,
}

impl Inserted {
    /// The row, for columns of others of the same transaction.
    pub fn reference(&self) -> Reference {
        Reference::New(self.name.as_str().into())
    }
}

impl Transaction {
    /// Of no operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations it has.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Inserts a row. Columns that hold their type's default are not written, so that an older server need not know them.
    pub fn insert<T: Table>(&mut self, row: &T) -> Inserted {
        let (mut row, default) = (row.to_row(), T::default().to_row());
        row = row.difference(&default);
        self.insert_columns::<T>(row)
    }

    /// Inserts a row of these columns.
    pub fn insert_columns<T: Table>(&mut self, row: Row) -> Inserted {
        let index = self.len();
        let name = format!("row{index}");
        let uuid_name = name.clone();
        self.operations.push(Operation::Insert {
            table: T::NAME,
            row,
            uuid_name,
        });
        Inserted { index, name }
    }

    /// Reads rows, as they are after the operations before this one.
    pub fn select<T: Table>(&mut self, conditions: &[Condition]) -> Selected<T> {
        let index = self.len();
        let columns = ["_uuid"].iter().chain(T::COLUMNS).copied().collect();
        let conditions = conditions.to_vec();
        self.operations.push(Operation::Select {
            table: T::NAME,
            conditions,
            columns,
        });
        Selected {
            index,
            table: PhantomData,
        }
    }

    /// Writes columns of rows; the others stay.
    pub fn update<T: Table>(&mut self, conditions: &[Condition], row: Row) -> Counted {
        let conditions = conditions.to_vec();
        self.counted(Operation::Update {
            table: T::NAME,
            conditions,
            row,
        })
    }

    /// Changes columns of rows by what is in them.
    pub fn mutate<T: Table>(
        &mut self,
        conditions: &[Condition],
        mutations: impl IntoIterator<Item = Mutation>,
    ) -> Counted {
        let mutations = mutations.into_iter().collect();
        let conditions = conditions.to_vec();
        self.counted(Operation::Mutate {
            table: T::NAME,
            conditions,
            mutations,
        })
    }

    /// Deletes rows. Those of most tables go by themselves when no other row refers to them.
    pub fn delete<T: Table>(&mut self, conditions: &[Condition]) -> Counted {
        let conditions = conditions.to_vec();
        self.counted(Operation::Delete {
            table: T::NAME,
            conditions,
        })
    }

    /// Lets the transaction fail by [`Fault::TimedOut`] unless the row is there and holds this in these columns.
    pub fn guard<T: Table>(&mut self, uuid: Uuid, columns: Row) {
        let conditions = [Condition::row(uuid)];
        self.wait::<T>(&conditions, Until::Equal, vec![columns], Duration::ZERO);
    }

    /// Lets the transaction fail by [`Fault::TimedOut`] if there is such a row.
    pub fn guard_absent<T: Table>(&mut self, conditions: &[Condition]) {
        self.wait::<T>(conditions, Until::Equal, Vec::new(), Duration::ZERO);
    }

    /// Waits until what is found is, or is not, the rows that are given, in the columns that those have; in vain, the
    /// transaction fails by [`Fault::TimedOut`]. With a timeout of zero it does so at once.
    pub fn wait<T: Table>(
        &mut self,
        conditions: &[Condition],
        until: Until,
        rows: Vec<Row>,
        timeout: Duration,
    ) {
        let columns = match rows.first() {
            Some(row) => row.columns().map(|(column, _)| column.to_owned()).collect(),
            None => vec!["_uuid".to_owned()],
        };
        self.operations.push(Operation::Wait {
            table: T::NAME,
            conditions: conditions.to_vec(),
            columns,
            until,
            rows,
            timeout: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// Says in the database's log why.
    pub fn comment(&mut self, comment: impl Into<String>) {
        self.operations.push(Operation::Comment {
            comment: comment.into(),
        });
    }

    fn counted(&mut self, operation: Operation) -> Counted {
        self.operations.push(operation);
        Counted {
            index: self.len() - 1,
        }
    }
}

/// The parameters of a `transact` request.
pub(super) struct Params<'a>(pub &'a str, pub &'a Transaction);

impl Serialize for Params<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(database, Transaction { operations }) = self;
        let mut params = serializer.serialize_seq(Some(1 + operations.len()))?;
        params.serialize_element(database)?;
        for operation in operations {
            params.serialize_element(operation)?;
        }
        params.end()
    }
}

#[cfg(test)]
mod tests;
