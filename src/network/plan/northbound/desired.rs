//! Rows as they have to be, by table and key. References are keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::network::plan::topology::{Origin, Uid};
use crate::ovsdb::{Reference, Row, Table, northbound::Texts};

use super::tables::Kind;
use super::{KEY, KIND, OBJECT, UID};

/// All rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Desired {
    tables: BTreeMap<Kind, BTreeMap<String, Wanted>>,
    uids: BTreeSet<Uid>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The UID of the object that it is made of.
    pub uid: Arc<str>,
    /// Its columns, without those that hold what they begin with.
    pub row: Row,
    /// The row without which it would go, if there is one.
    pub parent: Option<(Kind, String)>,
}

impl Desired {
    /// The rows of a table by key.
    pub fn table(&self, kind: Kind) -> impl Iterator<Item = (&str, &Wanted)> {
        let rows = self.tables.get(&kind).into_iter().flatten();
        rows.map(|(key, wanted)| (key.as_str(), wanted))
    }

    /// One row.
    pub fn get(&self, kind: Kind, key: &str) -> Option<&Wanted> {
        self.tables.get(&kind)?.get(key)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the rows of one object are the same in another.
    pub fn is_same_object(&self, other: &Self, uid: &str) -> bool {
        self.rows_of(uid).eq(other.rows_of(uid))
    }

    fn rows_of(&self, uid: &str) -> impl Iterator<Item = (&str, &Row)> {
        let rows = self.tables.values().flatten();
        let own = rows.filter(move |(_, wanted)| &*wanted.uid == uid);
        own.map(|(key, wanted)| (key.as_str(), &wanted.row))
    }

    /// The objects that have rows.
    pub fn uids(&self) -> &BTreeSet<Uid> {
        &self.uids
    }
}

/// Collects rows.
#[derive(Debug, Default)]
pub struct Builder {
    desired: Desired,
    blanks: BTreeMap<Kind, Row>,
}

impl Builder {
    /// Adds a row. A key that is there already is written over: equal keys mean equal rows.
    pub fn add<T: Table>(
        &mut self,
        kind: Kind,
        key: String,
        origin: &Origin,
        parent: Option<(Kind, String)>,
        row: &T,
    ) {
        let blank = self.blanks.entry(kind).or_insert_with(|| kind.blank());
        let mut row = row.to_row().difference(blank);
        row.set("external_ids".into(), marks(origin, &key).into());
        self.mention(origin);
        let wanted = Wanted {
            uid: origin.uid.as_str().into(),
            row,
            parent,
        };
        self.desired
            .tables
            .entry(kind)
            .or_default()
            .insert(key, wanted);
    }

    /// An object that may have no rows is there all the same.
    pub fn mention(&mut self, origin: &Origin) {
        self.desired.uids.insert(origin.uid.clone());
    }

    /// All that was added.
    pub fn build(self) -> Desired {
        self.desired
    }
}

fn marks(origin: &Origin, key: &str) -> Texts {
    let object = format!("{}/{}", origin.namespace, origin.name);
    Texts::from([
        (KIND.to_owned(), origin.kind.to_owned()),
        (OBJECT.to_owned(), object),
        (UID.to_owned(), origin.uid.clone()),
        (KEY.to_owned(), key.to_owned()),
    ])
}

/// A row by its key.
pub fn reference(key: impl Into<String>) -> Reference {
    Reference::New(key.into())
}
