//! Which rows the next transaction inserts.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::network::plan::northbound::compile::guard;
use crate::network::plan::northbound::desired::{Desired, Wanted};
use crate::network::plan::northbound::tables::Kind;
use crate::ovsdb::Row;
use crate::ovsdb::value::{Atom, Value};

use super::Limits;
use super::found::{Found, Index};
use super::operation::{Change, Operation};

/// What a transaction does so far.
pub struct Selection<'a> {
    desired: &'a Desired,
    index: &'a Index<'a>,
    limits: Limits<'a>,
    rows: usize,
    objects: BTreeSet<Arc<str>>,
    inserted: BTreeSet<(Kind, &'a str)>,
    /// Whether some row had no room. Those that come after it wait, too, however small they are: their order is what keeps
    /// ports shut.
    is_full: bool,
}

/// A row that is missing, with the key that it has in the table.
type Missing<'a> = (Kind, &'a str, &'a Wanted);

impl<'a> Selection<'a> {
    /// Nothing yet.
    pub fn new(desired: &'a Desired, index: &'a Index<'a>, limits: Limits<'a>) -> Self {
        Self {
            desired,
            index,
            limits,
            rows: 0,
            objects: BTreeSet::new(),
            inserted: BTreeSet::new(),
            is_full: false,
        }
    }

    /// Takes in a change of one row that is there, if there is room.
    pub fn take(&mut self, uid: &Arc<str>) -> bool {
        let is_object_new = !self.objects.contains(uid);
        let fits = self.rows < self.limits.rows
            && !self.is_left_alone(uid)
            && self.objects.len() + usize::from(is_object_new) <= self.limits.objects;
        if fits {
            self.rows += 1;
            self.objects.insert(Arc::clone(uid));
        }
        fits
    }

    /// Takes in a row that is missing, with those that hold it and are missing, too, if there is room.
    pub fn offer(&mut self, kind: Kind, key: &'a str, wanted: &'a Wanted) {
        if self.is_full || self.would_be_open(kind, wanted) {
            return;
        }
        let Some(mut missing) = self.missing(kind, key, wanted) else {
            return;
        };
        let uids: BTreeSet<&Arc<str>> = missing.iter().map(|(_, _, wanted)| &wanted.uid).collect();
        let is_first = self.objects.is_empty();
        let come = uids
            .iter()
            .filter(|uid| !self.objects.contains(**uid))
            .count();
        if self.objects.len() + come > self.limits.objects {
            if !is_first {
                self.is_full = true;
                return;
            }
            // So that what fails is one object's fault, the one that holds the others comes alone.
            let Some(top) = missing.last().map(|(_, _, wanted)| Arc::clone(&wanted.uid)) else {
                return;
            };
            missing.retain(|(_, _, wanted)| wanted.uid == top);
        }
        if self.rows > 0 && self.rows + missing.len() > self.limits.rows {
            self.is_full = true;
            return;
        }
        self.rows += missing.len();
        for (kind, key, wanted) in missing {
            self.objects.insert(Arc::clone(&wanted.uid));
            self.inserted.insert((kind, key));
        }
    }

    /// The row and those that hold it, as far as they are neither there nor taken in; none, if one of them is left alone
    /// or nobody wants it.
    fn missing(&self, kind: Kind, key: &'a str, wanted: &'a Wanted) -> Option<Vec<Missing<'a>>> {
        let mut missing = Vec::new();
        let mut next = Some((kind, key, wanted));
        while let Some((kind, key, wanted)) = next {
            if self.is_there(kind, key) {
                break;
            }
            if self.is_left_alone(&wanted.uid) {
                return None;
            }
            missing.push((kind, key, wanted));
            next = match &wanted.parent {
                Some((kind, key)) => Some((*kind, &**key, self.desired.get(*kind, key)?)),
                None => None,
            };
        }
        Some(missing)
    }

    /// Whether the row is a secure port, and what guards those of its network is not there.
    fn would_be_open(&self, kind: Kind, wanted: &Wanted) -> bool {
        let is_secure = kind == Kind::SwitchPort && wanted.row.get("port_security").is_some();
        let switch = wanted.parent.as_ref().filter(|_| is_secure);
        let guard = switch.and_then(|(_, switch)| guard::of(switch));
        guard.is_some_and(|(kind, key)| !self.is_there(kind, &key))
    }

    /// Whether some row has to wait for the next transaction.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a row is there when the transaction is done.
    fn is_there(&self, kind: Kind, key: &str) -> bool {
        self.index.uuid(kind, key).is_some() || self.inserts(kind, key)
    }

    /// Whether a row is inserted.
    pub fn inserts(&self, kind: Kind, key: &str) -> bool {
        self.inserted.contains(&(kind, key))
    }

    fn is_left_alone(&self, uid: &str) -> bool {
        self.limits.without.contains(uid)
    }

    /// The objects that were taken in.
    pub fn into_objects(self) -> BTreeSet<Arc<str>> {
        self.objects
    }

    /// The insertions.
    pub fn emit(&self, desired: &Desired, index: &Index<'_>, found: &Found, change: &mut Change) {
        for (kind, key) in &self.inserted {
            let Some(wanted) = desired.get(*kind, key) else {
                continue;
            };
            let known = wanted.row.columns();
            let known = known.filter(|(column, _)| found.knows(*kind, column));
            let row = known.fold(Row::new(), |row, (column, value)| {
                row.with(column, self.resolved(index, *kind, column, value))
            });
            let (kind, key) = (*kind, (*key).to_owned());
            change.push(
                Arc::clone(&wanted.uid),
                Operation::Insert { kind, key, row },
            );
        }
    }

    /// References without those to rows that are not there yet.
    fn resolved(&self, index: &Index<'_>, kind: Kind, column: &str, value: &Value) -> Value {
        let Some(link) = kind.links().iter().find(|link| link.column == column) else {
            return value.clone();
        };
        Value::set(value.atoms().filter_map(|atom| match atom {
            Atom::Named(key) => match index.uuid(link.target, key) {
                Some(uuid) => Some(Atom::Uuid(uuid)),
                None => self.inserts(link.target, key).then(|| atom.clone()),
            },
            atom => Some(atom.clone()),
        }))
    }
}
