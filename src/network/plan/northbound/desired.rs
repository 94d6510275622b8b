//! Rows as they have to be, by table and key. References are keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::network::plan::topology::Origin;
use crate::ovsdb::{Reference, Row, Table, northbound::Texts};

use super::tables::{KINDS, Kind};
use super::{KEY, KIND, OBJECT, UID};

/// What a row is known by. Shared, as all of a row is: most rows are the same as a moment ago, and are taken over.
pub type Key = Arc<str>;

/// All rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    tables: BTreeMap<Kind, BTreeMap<Key, Arc<Wanted>>>,
    uids: BTreeSet<Arc<str>>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The UID of the object that it is made of.
    pub uid: Arc<str>,
    /// Its columns, without those that hold what they begin with.
    pub row: Row,
    /// The row without which it would go, if there is one.
    pub parent: Option<(Kind, Key)>,
}

impl Desired {
    /// The rows of all of these. Equal keys mean equal rows.
    pub fn of(parts: &[Arc<Self>]) -> Self {
        let mut all = Self::default();
        for kind in KINDS {
            let rows = parts.iter().filter_map(|part| part.tables.get(&kind));
            // Made of many ordered runs at once, which is far cheaper than one row after the other.
            let rows: BTreeMap<Key, Arc<Wanted>> = rows
                .flatten()
                .map(|(key, wanted)| (Arc::clone(key), Arc::clone(wanted)))
                .collect();
            if !rows.is_empty() {
                all.tables.insert(kind, rows);
            }
        }
        let uids = parts.iter().flat_map(|part| &part.uids);
        all.uids = uids.cloned().collect();
        all
    }

    /// The rows of a table by key.
    pub fn table(&self, kind: Kind) -> impl Iterator<Item = (&str, &Wanted)> {
        let rows = self.tables.get(&kind).into_iter().flatten();
        rows.map(|(key, wanted)| (&**key, &**wanted))
    }

    /// One row.
    pub fn get(&self, kind: Kind, key: &str) -> Option<&Wanted> {
        self.tables.get(&kind)?.get(key).map(|wanted| &**wanted)
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
        own.map(|(key, wanted)| (&**key, &wanted.row))
    }

    /// The objects that have rows.
    pub fn uids(&self) -> &BTreeSet<Arc<str>> {
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
        key: impl Into<Key>,
        origin: &Origin,
        parent: Option<(Kind, Key)>,
        row: &T,
    ) {
        let key = key.into();
        let blank = self.blanks.entry(kind).or_insert_with(|| kind.blank());
        let mut row = row.to_row();
        row.drop_same(blank);
        row.set("external_ids".into(), marks(origin, &key).into());
        let uid = self.mention(origin);
        let wanted = Arc::new(Wanted { uid, row, parent });
        self.desired
            .tables
            .entry(kind)
            .or_default()
            .insert(key, wanted);
    }

    /// An object that may have no rows is there all the same.
    pub fn mention(&mut self, origin: &Origin) -> Arc<str> {
        if let Some(uid) = self.desired.uids.get(origin.uid.as_str()) {
            return Arc::clone(uid);
        }
        let uid: Arc<str> = origin.uid.as_str().into();
        self.desired.uids.insert(Arc::clone(&uid));
        uid
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
pub fn reference(key: impl Into<Key>) -> Reference {
    Reference::New(key.into())
}
