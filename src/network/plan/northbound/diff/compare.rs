//! How a row that is there differs from what is wanted, and what is there that nobody wants.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::network::plan::northbound::desired::Wanted;
use crate::network::plan::northbound::tables::{KINDS, Kind, Link};
use crate::ovsdb::value::{Atom, Value};
use crate::ovsdb::{Row, Uuid};

use super::found::Index;
use super::operation::{Change, Mutated, Operation};
use super::select::Selection;

/// What of one row has to change.
pub struct Delta<'a> {
    kind: Kind,
    uuid: Uuid,
    uid: &'a Arc<str>,
    set: Row,
    mutated: Vec<Mutated>,
    /// References to rows that are not there yet.
    lacks: Vec<(Link, Vec<&'a str>)>,
}

/// Compares a row with what is wanted; none, if it is so.
pub fn compare<'a>(
    index: &Index<'_>,
    kind: Kind,
    uuid: Uuid,
    wanted: &'a Wanted,
) -> Option<Delta<'a>> {
    let table = index.table(kind)?;
    let found = table.row(uuid)?;
    let mut delta = Delta {
        kind,
        uuid,
        uid: &wanted.uid,
        set: Row::new(),
        mutated: Vec::new(),
        lacks: Vec::new(),
    };
    for column in &table.columns {
        let (want, have) = (wanted.row.get(column), found.get(column));
        let link = kind.links().iter().find(|link| link.column == *column);
        if let Some(link) = link {
            delta.compare_links(index, link, want, have);
        } else if want != have {
            let blank = table.blank.get(column)?;
            delta.compare_values(column, want.unwrap_or(blank), have.unwrap_or(blank));
        }
    }
    let is_same = delta.set.is_empty() && delta.mutated.is_empty() && delta.lacks.is_empty();
    (!is_same).then_some(delta)
}

impl<'a> Delta<'a> {
    fn compare_links(
        &mut self,
        index: &Index<'_>,
        link: &Link,
        want: Option<&'a Value>,
        have: Option<&Value>,
    ) {
        let mut right = BTreeSet::new();
        let mut lacks = Vec::new();
        for atom in want.into_iter().flat_map(Value::atoms) {
            let Atom::Named(key) = atom else {
                continue;
            };
            match index.uuid(link.target, key) {
                Some(uuid) => {
                    right.insert(uuid);
                }
                None => lacks.push(&**key),
            }
        }
        let mut gone = Vec::new();
        for atom in have.into_iter().flat_map(Value::atoms) {
            let Atom::Uuid(uuid) = atom else {
                continue;
            };
            let stays = link.keeps_foreign && !index.is_ours(link.target, *uuid);
            if !right.remove(uuid) && !stays {
                gone.push(Atom::Uuid(*uuid));
            }
        }
        if !gone.is_empty() || !right.is_empty() {
            self.mutated.push(Mutated {
                column: link.column,
                gone: Value::set(gone),
                come: Value::set(right.into_iter().map(Atom::Uuid)),
            });
        }
        if !lacks.is_empty() {
            self.lacks.push((*link, lacks));
        }
    }

    /// Sets and maps may be large, so only what differs is written; and of marks, others' stay.
    fn compare_values(&mut self, column: &'static str, want: &Value, have: &Value) {
        match (want, have) {
            (Value::Map(want), Value::Map(have)) => {
                let keeps_others = column == "external_ids";
                let differs = |key: &&Atom| match want.get(key) {
                    Some(value) => have.get(key) != Some(value),
                    None => !keeps_others,
                };
                let gone: Vec<Atom> = have.keys().filter(differs).cloned().collect();
                let come = want
                    .iter()
                    .filter(|(key, value)| have.get(key) != Some(value));
                let come: std::collections::BTreeMap<_, _> = come
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                if !gone.is_empty() || !come.is_empty() {
                    self.mutated.push(Mutated {
                        column,
                        gone: Value::set(gone),
                        come: Value::Map(come),
                    });
                }
            }
            (want, have) if want.atoms().count() > 1 || have.atoms().count() > 1 => {
                let (want, have): (BTreeSet<_>, BTreeSet<_>) =
                    (want.atoms().collect(), have.atoms().collect());
                self.mutated.push(Mutated {
                    column,
                    gone: Value::set(have.difference(&want).copied().cloned()),
                    come: Value::set(want.difference(&have).copied().cloned()),
                });
            }
            (want, _) => self.set.set(column.into(), want.clone()),
        }
    }

    /// Whether the row is not what its object wants. One that takes in others is, whoever of them is still to come.
    pub fn is_wrong(&self) -> bool {
        self.stands_alone() || self.lacks.iter().any(|(link, _)| link.needs)
    }

    /// Whether there is something to do without any other row coming.
    pub fn stands_alone(&self) -> bool {
        !self.set.is_empty() || !self.mutated.is_empty()
    }

    /// The operations: all of them if the row is chosen, and in any case the places of rows that come.
    pub fn emit(&self, selection: &Selection<'_>, is_chosen: bool, change: &mut Change) {
        let (kind, uuid) = (self.kind, self.uuid);
        let mut columns = if is_chosen {
            self.mutated.clone()
        } else {
            Vec::new()
        };
        let mut holds_new = false;
        for (link, keys) in &self.lacks {
            let come = keys
                .iter()
                .filter(|key| selection.inserts(link.target, key));
            let mut come: Vec<Atom> = come.map(|key| Atom::Named((*key).into())).collect();
            if come.is_empty() {
                continue;
            }
            holds_new |= link.holds;
            let at = columns
                .iter()
                .position(|mutated| mutated.column == link.column);
            let mut gone = Value::empty();
            if let Some(at) = at {
                let mutated = columns.swap_remove(at);
                come.extend(mutated.come.atoms().cloned());
                gone = mutated.gone;
            }
            columns.push(Mutated {
                column: link.column,
                gone,
                come: Value::set(come),
            });
        }
        let mut push = |operation| change.push(Arc::clone(self.uid), operation);
        if holds_new {
            push(Operation::Expect { kind, uuid });
        }
        if is_chosen && !self.set.is_empty() {
            let row = self.set.clone();
            push(Operation::Set { kind, uuid, row });
        }
        if !columns.is_empty() {
            push(Operation::Mutate {
                kind,
                uuid,
                columns,
            });
        }
    }
}

/// Rows with our marks that nobody wants.
#[derive(Default)]
pub struct Strays<'a> {
    operations: Vec<(Arc<str>, Operation)>,
    held: BTreeSet<&'a str>,
}

impl<'a> Strays<'a> {
    /// Those that live by themselves, and the places of the others in rows of somebody else. Their places in rows of ours
    /// are those rows' differences, or go with them.
    pub fn of(index: &Index<'a>) -> Self {
        let mut strays = Self::default();
        for kind in KINDS {
            let Some(table) = index.table(kind) else {
                continue;
            };
            for (uuid, uid) in &table.strays {
                if kind.is_root() {
                    let operation = Operation::Delete { kind, uuid: *uuid };
                    strays.operations.push(((*uid).into(), operation));
                } else {
                    strays.held.insert(uid);
                }
            }
            for link in kind.links().iter().filter(|link| link.holds) {
                strays.in_foreign(index, kind, link);
            }
        }
        strays
    }

    fn in_foreign(&mut self, index: &Index<'a>, kind: Kind, link: &Link) {
        let (Some(holders), Some(held)) = (index.table(kind), index.table(link.target)) else {
            return;
        };
        if held.strays.is_empty() {
            return;
        }
        for (uuid, row) in holders.foreign() {
            for atom in row.get(link.column).into_iter().flat_map(Value::atoms) {
                let Atom::Uuid(stray) = atom else {
                    continue;
                };
                let Some(uid) = held.strays.get(stray) else {
                    continue;
                };
                let columns = vec![Mutated {
                    column: link.column,
                    gone: Value::One(atom.clone()),
                    come: Value::empty(),
                }];
                let operation = Operation::Mutate {
                    kind,
                    uuid,
                    columns,
                };
                self.operations.push(((*uid).into(), operation));
            }
        }
    }

    /// The objects that they were made of.
    pub fn uids(&self) -> impl Iterator<Item = Arc<str>> {
        let alone = self.operations.iter().map(|(uid, _)| Arc::clone(uid));
        alone.chain(self.held.iter().map(|uid| Arc::from(*uid)))
    }

    /// Groups of ports, which may be what keeps ports shut, and the others.
    pub fn apart(self) -> (Self, Self) {
        let is_group = |(_, operation): &(_, Operation)| {
            let Operation::Delete { kind, .. } = operation else {
                return false;
            };
            *kind == Kind::PortGroup
        };
        let (groups, others) = self.operations.into_iter().partition(is_group);
        let with = |operations| Self {
            operations,
            held: BTreeSet::new(),
        };
        (with(groups), with(others))
    }

    /// Those for which there is room.
    pub fn chosen(mut self, selection: &mut Selection<'_>) -> Self {
        self.operations.retain(|(uid, _)| selection.take(uid));
        self
    }

    /// The operations.
    pub fn emit(self, change: &mut Change) {
        for (uid, operation) in self.operations {
            change.push(uid, operation);
        }
    }
}
