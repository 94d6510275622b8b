//! Operations, and the transaction that they become.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::network::plan::northbound::tables::{Kind, with_table};
use crate::ovsdb::value::{Atom, Value};
use crate::ovsdb::{Condition, Mutation, Row, Transaction, Uuid};

/// One thing to do. References to rows that the same transaction inserts are keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Nothing is done at all, unless the row is there.
    Expect {
        /// The table.
        kind: Kind,
        /// The row.
        uuid: Uuid,
    },
    /// A new row.
    Insert {
        /// The table.
        kind: Kind,
        /// Its key.
        key: String,
        /// Its columns.
        row: Row,
    },
    /// Columns are written.
    Set {
        /// The table.
        kind: Kind,
        /// The row.
        uuid: Uuid,
        /// The columns.
        row: Row,
    },
    /// Elements are taken out of columns and put into them.
    Mutate {
        /// The table.
        kind: Kind,
        /// The row.
        uuid: Uuid,
        /// The columns.
        columns: Vec<Mutated>,
    },
    /// A row goes.
    Delete {
        /// The table.
        kind: Kind,
        /// The row.
        uuid: Uuid,
    },
}

/// What of a column changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutated {
    /// The column.
    pub column: &'static str,
    /// What goes: elements of a set, or keys of a map.
    pub gone: Value,
    /// What comes, after that.
    pub come: Value,
}

/// What one transaction does, and for which object each part of it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    operations: Vec<(Arc<str>, Operation)>,
}

impl Change {
    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// What it does, in order.
    pub fn operations(&self) -> impl ExactSizeIterator<Item = &Operation> {
        self.operations.iter().map(|(_, operation)| operation)
    }

    /// The objects that it is for.
    pub fn objects(&self) -> std::collections::BTreeSet<Arc<str>> {
        let uids = self.operations.iter().map(|(uid, _)| uid);
        uids.cloned().collect()
    }

    /// The object that the operation at this place of the transaction is for.
    pub fn object_at(&self, index: usize) -> Option<&Arc<str>> {
        self.operations.get(index).map(|(uid, _)| uid)
    }

    /// How many rows it writes.
    pub fn rows(&self) -> usize {
        let expected = |operation: &&Operation| !matches!(operation, Operation::Expect { .. });
        self.operations().filter(expected).count()
    }

    /// Adds an operation.
    pub(super) fn push(&mut self, uid: Arc<str>, operation: Operation) {
        self.operations.push((uid, operation));
    }

    /// The transaction: as many operations, in the same order.
    pub fn transaction(&self) -> Transaction {
        let mut transaction = Transaction::new();
        let mut names = BTreeMap::new();
        for operation in self.operations() {
            match operation {
                Operation::Expect { kind, uuid } => {
                    let row = Row::new().with("_uuid", *uuid);
                    with_table!(*kind, T => transaction.guard::<T>(*uuid, row));
                }
                Operation::Insert { kind, key, row } => {
                    let row = named_row(row, &names);
                    let inserted = with_table!(*kind, T => transaction.insert_columns::<T>(row));
                    names.insert(key.as_str(), Value::from(inserted.reference()));
                }
                Operation::Set { kind, uuid, row } => {
                    let (row, at) = (named_row(row, &names), [Condition::row(*uuid)]);
                    with_table!(*kind, T => transaction.update::<T>(&at, row));
                }
                Operation::Mutate {
                    kind,
                    uuid,
                    columns,
                } => {
                    let mutations = columns.iter().flat_map(|column| mutations(column, &names));
                    let at = [Condition::row(*uuid)];
                    with_table!(*kind, T => transaction.mutate::<T>(&at, mutations));
                }
                Operation::Delete { kind, uuid } => {
                    let at = [Condition::row(*uuid)];
                    with_table!(*kind, T => transaction.delete::<T>(&at));
                }
            }
        }
        transaction
    }
}

/// By which name the transaction knows a row that it inserts.
type Names<'a> = BTreeMap<&'a str, Value>;

fn mutations(column: &Mutated, names: &Names<'_>) -> Vec<Mutation> {
    let is_nothing = |value: &Value| match value {
        Value::One(_) => false,
        Value::Set(atoms) => atoms.is_empty(),
        Value::Map(pairs) => pairs.is_empty(),
    };
    let mut mutations = Vec::new();
    if !is_nothing(&column.gone) {
        mutations.push(Mutation::delete(column.column, column.gone.clone()));
    }
    if !is_nothing(&column.come) {
        mutations.push(Mutation::insert(column.column, named(&column.come, names)));
    }
    mutations
}

fn named_row(row: &Row, names: &Names<'_>) -> Row {
    let columns = row.columns();
    columns.fold(Row::new(), |row, (column, value)| {
        row.with(column, named(value, names))
    })
}

fn named(value: &Value, names: &Names<'_>) -> Value {
    if !value.atoms().any(|atom| matches!(atom, Atom::Named(_))) {
        return value.clone();
    }
    Value::set(value.atoms().map(|atom| match atom {
        Atom::Named(key) => match names.get(&**key) {
            Some(Value::One(name)) => name.clone(),
            _ => atom.clone(),
        },
        atom => atom.clone(),
    }))
}
