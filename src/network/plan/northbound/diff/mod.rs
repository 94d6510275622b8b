//! What has to be written for the database to hold the rows that are wanted, as one transaction of bounded size.
//!
//! Whoever wants all of it asks again after each transaction, with what the database holds then, until nothing is left:
//! this needs no memory of what was begun, and what somebody else changed meanwhile is seen.
//!
//! What holds for each transaction:
//!
//! - A row is inserted together with its place in the row that holds it, and only if that one is still there.
//! - A port is inserted together with its place in the port groups that are there, and port groups come before ports, and
//!   go after all that comes; a secure port never comes without the group that guards it: no port is open for a moment.
//! - Of a row of ours, columns that OVN writes, and marks of others, stay as they are; so do rows of others, and their
//!   places in our switches and routers.
//! - What two rows have the same key for is one row too many: the one with the greater UUID goes.
//! - A row that has lost its marks is known by its name, where that holds a UID of ours.

mod compare;
mod found;
mod operation;
mod select;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use found::Found;
pub use operation::{Change, Mutated, Operation};

use compare::{Delta, Strays, compare};
use found::Index;
use select::Selection;

use super::desired::Desired;
use super::tables::KINDS;

/// How much one transaction may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// How many rows it may change, about: those that belong together are not torn apart.
    pub rows: usize,
    /// Of how many objects. With one, whatever fails is that object's fault.
    pub objects: usize,
    /// The objects whose rows are left as they are.
    pub without: &'a BTreeSet<String>,
}

/// What is not as it is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// The next transaction; empty, if nothing is left to do that may be done.
    pub change: Change,
    /// The objects that it is for: at most as many as the limits say. It may also touch rows that hold theirs.
    pub objects: BTreeSet<Arc<str>>,
    /// The objects whose rows differ, also of those that are left as they are, and of those that nobody wants. An object
    /// does not differ by what others still have to bring: their ports, say.
    pub differing: BTreeSet<Arc<str>>,
}

/// Compares what is wanted with what there is.
pub fn diff(desired: &Desired, found: &Found, limits: &Limits<'_>) -> Difference {
    let index = Index::of(desired, found);
    let mut selection = Selection::new(desired, &index, *limits);
    let mut differing = BTreeSet::new();

    // What there is and has to change comes first: a rule that was taken away does not wait for new ports.
    let strays = Strays::of(&index);
    differing.extend(strays.uids());
    let (groups, strays) = strays.apart();
    let strays = strays.chosen(&mut selection);
    let mut deltas = Vec::new();
    for kind in KINDS {
        for (key, wanted) in desired.table(kind) {
            if let Some(uuid) = index.uuid(kind, key)
                && let Some(delta) = compare(&index, kind, uuid, wanted)
            {
                if delta.is_wrong() {
                    differing.insert(Arc::clone(&wanted.uid));
                }
                let is_chosen = delta.stands_alone() && selection.take(&wanted.uid);
                deltas.push((delta, is_chosen));
            }
        }
    }
    for kind in KINDS.into_iter().filter(|kind| found.has(*kind)) {
        for (key, wanted) in desired.table(kind) {
            if index.uuid(kind, key).is_none() {
                differing.insert(Arc::clone(&wanted.uid));
                selection.offer(kind, key, wanted);
            }
        }
    }

    // Whatever a group of ports is replaced by is there before it goes.
    let groups = if selection.is_full() {
        Strays::default()
    } else {
        groups.chosen(&mut selection)
    };

    let mut change = Change::default();
    strays.emit(&mut change);
    groups.emit(&mut change);
    selection.emit(desired, &index, found, &mut change);
    for (delta, is_chosen) in &deltas {
        Delta::emit(delta, &selection, *is_chosen, &mut change);
    }
    Difference {
        change,
        objects: selection.into_objects(),
        differing,
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
