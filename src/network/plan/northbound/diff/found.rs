//! The rows that there are, and which of them are ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::network::plan::northbound::desired::Desired;
use crate::network::plan::northbound::tables::{KINDS, Kind};
use crate::network::plan::northbound::{KEY, UID};
use crate::ovsdb::schema::Schema;
use crate::ovsdb::value::{Atom, Value};
use crate::ovsdb::{Row, Uuid};

/// The rows of the tables that we write, also those of others; and which columns the server knows.
#[derive(Clone, Debug, Default)]
pub struct Found {
    tables: BTreeMap<Kind, Vec<(Uuid, Arc<Row>)>>,
    schema: Option<Arc<Schema>>,
}

impl Found {
    /// Of a server with this schema; without one, it is taken to know everything.
    pub fn new(schema: Option<Arc<Schema>>) -> Self {
        Self {
            tables: BTreeMap::new(),
            schema,
        }
    }

    /// Adds the rows of a table.
    pub fn add(&mut self, kind: Kind, rows: impl IntoIterator<Item = (Uuid, Arc<Row>)>) {
        self.tables.entry(kind).or_default().extend(rows);
    }

    /// The rows of a table.
    pub fn rows(&self, kind: Kind) -> &[(Uuid, Arc<Row>)] {
        self.tables
            .get(&kind)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Whether the server has the table.
    pub fn has(&self, kind: Kind) -> bool {
        let schema = self.schema.as_ref();
        schema.is_none_or(|schema| schema.tables.contains_key(kind.name()))
    }

    /// Whether the server has the column.
    pub fn knows(&self, kind: Kind, column: &str) -> bool {
        self.schema.as_ref().is_none_or(|schema| {
            let table = schema.tables.get(kind.name());
            table.is_some_and(|table| table.columns.contains_key(column))
        })
    }
}

/// A mark of a row.
pub fn mark<'a>(row: &'a Row, name: &Atom) -> Option<&'a str> {
    let Some(Value::Map(pairs)) = row.get("external_ids") else {
        return None;
    };
    match pairs.get(name) {
        Some(Atom::String(text)) => Some(text),
        _ => None,
    }
}

/// Where the rows of ours are.
pub struct Index<'a> {
    tables: BTreeMap<Kind, TableIndex<'a>>,
}

/// Where those of one table are.
#[derive(Default)]
pub struct TableIndex<'a> {
    /// The columns that are ours, and that the server knows.
    pub columns: Vec<&'static str>,
    /// What a row holds that was never written.
    pub blank: Row,
    rows: BTreeMap<Uuid, &'a Row>,
    by_key: BTreeMap<&'a str, Uuid>,
    /// Those with our marks that are not wanted, or not any more, with the UID of their object.
    pub strays: BTreeMap<Uuid, &'a str>,
    ours: BTreeSet<Uuid>,
}

impl<'a> Index<'a> {
    /// Looks at everything once.
    pub fn of(desired: &'a Desired, found: &'a Found) -> Self {
        let tables = KINDS.into_iter().filter(|kind| found.has(*kind));
        let tables = tables.map(|kind| (kind, TableIndex::of(kind, desired, found)));
        let mut index = Self {
            tables: tables.collect(),
        };
        // Holders first.
        for kind in KINDS.into_iter().rev() {
            index.adopt(kind, desired);
        }
        index
    }

    /// Finds rows that have lost their marks by their names. One that a row of somebody else holds is theirs, whatever it
    /// is called.
    fn adopt(&mut self, kind: Kind, desired: &'a Desired) {
        let candidates = self
            .tables
            .get(&kind)
            .map(|table| table.candidates(kind, desired));
        let mut candidates = candidates.unwrap_or_default();
        if candidates.is_empty() {
            return;
        }
        if !kind.is_root() {
            let held = self.held(kind);
            candidates.retain(|(_, uuid)| held.contains(uuid));
        }
        let Some(table) = self.tables.get_mut(&kind) else {
            return;
        };
        for (key, uuid) in candidates {
            table.by_key.entry(key).or_insert(uuid);
            table.ours.insert(uuid);
        }
    }

    /// The rows of a table that rows of ours hold.
    fn held(&self, kind: Kind) -> BTreeSet<Uuid> {
        let mut held = BTreeSet::new();
        for (holder, table) in &self.tables {
            for link in holder
                .links()
                .iter()
                .filter(|link| link.holds && link.target == kind)
            {
                let rows = table.ours.iter().filter_map(|uuid| table.row(*uuid));
                let atoms = rows
                    .filter_map(|row| row.get(link.column))
                    .flat_map(Value::atoms);
                held.extend(atoms.filter_map(|atom| match atom {
                    Atom::Uuid(uuid) => Some(*uuid),
                    _ => None,
                }));
            }
        }
        held
    }

    /// One table; none, if the server has it not.
    pub fn table(&self, kind: Kind) -> Option<&TableIndex<'a>> {
        self.tables.get(&kind)
    }

    /// The row that has a key.
    pub fn uuid(&self, kind: Kind, key: &str) -> Option<Uuid> {
        self.tables.get(&kind)?.by_key.get(key).copied()
    }

    /// Whether a row is one of ours.
    pub fn is_ours(&self, kind: Kind, uuid: Uuid) -> bool {
        let table = self.tables.get(&kind);
        table.is_some_and(|table| table.ours.contains(&uuid))
    }
}

impl<'a> TableIndex<'a> {
    fn of(kind: Kind, desired: &'a Desired, found: &'a Found) -> Self {
        let columns = kind.columns();
        let mut table = Self {
            columns: columns.filter(|column| found.knows(kind, column)).collect(),
            blank: kind.blank(),
            ..Self::default()
        };
        let (key_mark, uid_mark) = (Atom::String(KEY.to_owned()), Atom::String(UID.to_owned()));
        for (uuid, row) in found.rows(kind) {
            table.rows.insert(*uuid, row);
            let Some(key) = mark(row, &key_mark) else {
                continue;
            };
            table.ours.insert(*uuid);
            let uid = mark(row, &uid_mark).unwrap_or_default();
            if desired.get(kind, key).is_none() {
                table.strays.insert(*uuid, uid);
                continue;
            }
            let Some(other) = table.by_key.insert(key, *uuid) else {
                continue;
            };
            let (stays, goes) = (other.min(*uuid), other.max(*uuid));
            table.by_key.insert(key, stays);
            table.strays.insert(goes, uid);
        }
        table
    }

    /// Rows without marks that are called as one that is missing, with its key.
    fn candidates(&self, kind: Kind, desired: &'a Desired) -> Vec<(&'a str, Uuid)> {
        let Some(column) = kind.name_column() else {
            return Vec::new();
        };
        if self.rows.len() == self.ours.len() {
            return Vec::new();
        }
        let missing = desired.table(kind);
        let missing = missing.filter(|(key, _)| !self.by_key.contains_key(key));
        let missing = missing.filter_map(|(key, wanted)| Some((wanted.row.get(column)?, key)));
        let missing: BTreeMap<&Value, &str> = missing.collect();
        let named = self.foreign().filter_map(|(uuid, row)| {
            let key = missing.get(row.get(column)?)?;
            Some((*key, uuid))
        });
        named.collect()
    }

    /// A row.
    pub fn row(&self, uuid: Uuid) -> Option<&'a Row> {
        self.rows.get(&uuid).copied()
    }

    /// The rows of others.
    pub fn foreign(&self) -> impl Iterator<Item = (Uuid, &'a Row)> {
        let rows = self.rows.iter().map(|(uuid, row)| (*uuid, *row));
        rows.filter(|(uuid, _)| !self.ours.contains(uuid))
    }
}
