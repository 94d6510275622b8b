//! A database in a few lines, to try differences on: it deletes what nobody holds, and forgets who has gone, as
//! ovsdb-server does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::network::plan::northbound::tables::{KINDS, Kind};
use crate::ovsdb::value::{Atom, Value};
use crate::ovsdb::{Row, Uuid};

use super::{Change, Found, Mutated, Operation};

/// The rows of all tables.
#[derive(Clone, Default, Debug)]
pub struct Model {
    pub rows: BTreeMap<(Kind, Uuid), Row>,
    next: u128,
}

impl Model {
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        for ((kind, uuid), row) in &self.rows {
            found.add(*kind, [(*uuid, Arc::new(row.clone()))]);
        }
        found
    }

    pub fn insert(&mut self, kind: Kind, row: Row) -> Uuid {
        self.next += 1;
        let uuid = Uuid::from(self.next);
        self.rows.insert((kind, uuid), row);
        uuid
    }

    /// Does it, unless a row that is expected is not there.
    pub fn apply(&mut self, change: &Change) -> bool {
        let mut names = BTreeMap::new();
        for operation in change.operations() {
            match operation {
                Operation::Expect { kind, uuid } => {
                    if !self.rows.contains_key(&(*kind, *uuid)) {
                        return false;
                    }
                }
                Operation::Insert { kind, key, row } => {
                    let row = named(row, &names);
                    let uuid = self.insert(*kind, row);
                    names.insert(key.clone(), uuid);
                }
                Operation::Set { kind, uuid, row } => {
                    let there = self.rows.get_mut(&(*kind, *uuid)).unwrap();
                    for (column, value) in named(row, &names).columns() {
                        write(*kind, there, column, value.clone());
                    }
                }
                Operation::Mutate {
                    kind,
                    uuid,
                    columns,
                } => {
                    let there = self.rows.get_mut(&(*kind, *uuid)).unwrap();
                    for column in columns {
                        mutate(*kind, there, column, &names);
                    }
                }
                Operation::Delete { kind, uuid } => {
                    self.rows.remove(&(*kind, *uuid)).unwrap();
                }
            }
        }
        self.collect_garbage();
        true
    }

    pub fn collect_garbage(&mut self) {
        loop {
            let mut held = BTreeSet::new();
            for ((kind, _), row) in &self.rows {
                for link in kind.links().iter().filter(|link| link.holds) {
                    let atoms = row.get(link.column).into_iter().flat_map(Value::atoms);
                    held.extend(atoms.map(|atom| (link.target, atom.clone())));
                }
            }
            let before = self.rows.len();
            self.rows.retain(|(kind, uuid), _| {
                kind.is_root() || held.contains(&(*kind, Atom::Uuid(*uuid)))
            });
            if self.rows.len() == before {
                break;
            }
        }
        let there: BTreeSet<(Kind, Uuid)> = self.rows.keys().copied().collect();
        for ((kind, _), row) in &mut self.rows {
            for link in kind.links() {
                if let Some(value) = row.take(link.column) {
                    let lives = |atom: &&Atom| {
                        let Atom::Uuid(uuid) = atom else {
                            panic!("{atom:?} is in {kind:?}.{}", link.column);
                        };
                        there.contains(&(link.target, *uuid))
                    };
                    let left = Value::set(value.atoms().filter(lives).cloned());
                    write(*kind, row, link.column, left);
                }
            }
        }
    }

    /// All rows, with keys in place of UUIDs, and without marks of others.
    pub fn by_key(&self) -> BTreeMap<(Kind, String), Row> {
        let key = |kind: Kind, uuid: Uuid| {
            let row = self.rows.get(&(kind, uuid))?;
            let key = Atom::String(super::super::KEY.to_owned());
            super::found::mark(row, &key).map(str::to_owned)
        };
        let mut rows = BTreeMap::new();
        for ((kind, uuid), row) in &self.rows {
            let mut shown = Row::new();
            for (column, value) in row.columns() {
                let is_link = kind.links().iter().find(|link| link.column == column);
                let value = match is_link {
                    None => value.clone(),
                    Some(link) => Value::set(value.atoms().map(|atom| match atom {
                        Atom::Uuid(uuid) => {
                            Atom::Named(key(link.target, *uuid).unwrap_or_default().into())
                        }
                        atom => atom.clone(),
                    })),
                };
                shown.set(column.into(), value);
            }
            let name = key(*kind, *uuid).unwrap_or_else(|| format!("foreign {uuid}"));
            let twice = rows.insert((*kind, name.clone()), shown);
            assert!(twice.is_none(), "{kind:?} {name} is there twice");
        }
        rows
    }

    /// The tables that have rows.
    pub fn kinds(&self) -> Vec<Kind> {
        let has = |kind: &Kind| self.rows.keys().any(|(other, _)| other == kind);
        KINDS.into_iter().filter(has).collect()
    }
}

fn mutate(kind: Kind, row: &mut Row, column: &Mutated, names: &BTreeMap<String, Uuid>) {
    let Mutated { column, gone, come } = column;
    let blank = kind.blank();
    let have = row
        .take(column)
        .or_else(|| blank.get(column).cloned())
        .unwrap();
    let gone: BTreeSet<&Atom> = gone.atoms().collect();
    let value = match (have, come) {
        (Value::Map(mut pairs), come) => {
            pairs.retain(|key, _| !gone.contains(key));
            if let Value::Map(come) = come {
                for (key, value) in come {
                    pairs.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            Value::Map(pairs)
        }
        (have, come) => {
            let left = have.atoms().filter(|atom| !gone.contains(atom));
            let come = named_value(come, names);
            Value::set(left.chain(come.atoms()).cloned())
        }
    };
    write(kind, row, column, value);
}

fn write(kind: Kind, row: &mut Row, column: &str, value: Value) {
    if kind.blank().get(column) == Some(&value) {
        row.take(column);
    } else {
        row.set(column.into(), value);
    }
}

fn named(row: &Row, names: &BTreeMap<String, Uuid>) -> Row {
    let columns = row.columns();
    columns.fold(Row::new(), |row, (column, value)| {
        row.with(column, named_value(value, names))
    })
}

fn named_value(value: &Value, names: &BTreeMap<String, Uuid>) -> Value {
    if matches!(value, Value::Map(_)) {
        return value.clone();
    }
    Value::set(value.atoms().map(|atom| match atom {
        Atom::Named(key) => Atom::Uuid(names[&**key]),
        atom => atom.clone(),
    }))
}
