//! What columns hold: atoms, sets and maps (RFC 7047, section 5.1), and which Rust types they are.
//!
//! Values are kept in one form only, so that equal ones are equal: a set of one element is that element, and sets and maps
//! are in order.

mod atom;
mod column;
mod json;

use std::collections::{BTreeMap, BTreeSet};

pub use atom::{Atom, Real};
pub use column::{AtomType, Column, Reference};

/// What one column of one row holds.
///
/// Made by [`Value::set`] and by conversion from [`Column`]s, which keep the one form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// One atom, which is also the set of it.
    One(Atom),
    /// No atom, or several.
    Set(BTreeSet<Atom>),
    /// Pairs.
    Map(BTreeMap<Atom, Atom>),
}

impl Value {
    /// The set of these atoms.
    pub fn set(atoms: impl IntoIterator<Item = Atom>) -> Self {
        let mut set: BTreeSet<Atom> = atoms.into_iter().collect();
        match set.pop_first() {
            Some(only) if set.is_empty() => Self::One(only),
            Some(first) => {
                set.insert(first);
                Self::Set(set)
            }
            None => Self::Set(set),
        }
    }

    /// The set of nothing, which optional columns hold that have no value.
    pub fn empty() -> Self {
        Self::Set(BTreeSet::new())
    }

    /// Its elements; those of a map are none.
    pub fn atoms(&self) -> impl Iterator<Item = &Atom> {
        let (one, set) = match self {
            Self::One(atom) => (Some(atom), None),
            Self::Set(set) => (None, Some(set)),
            Self::Map(_) => (None, None),
        };
        one.into_iter().chain(set.into_iter().flatten())
    }

    /// What becomes of it by a difference, as `update2` and `update3` tell it (ovsdb-server(7), section 4.1.14): what is
    /// in one of two sets only is in the result; so with pairs, of which the new ones replace those of their keys.
    #[must_use]
    pub fn changed_by(self, difference: Self) -> Self {
        match (self, difference) {
            (old, Self::Map(changes)) => {
                let mut pairs = match old {
                    Self::Map(pairs) => pairs,
                    Self::One(_) | Self::Set(_) => BTreeMap::new(),
                };
                for (key, value) in changes {
                    if pairs.get(&key) == Some(&value) {
                        pairs.remove(&key);
                    } else {
                        pairs.insert(key, value);
                    }
                }
                Self::Map(pairs)
            }
            (old, difference) => {
                let mut atoms = old.into_set();
                for atom in difference.into_set() {
                    if !atoms.remove(&atom) {
                        atoms.insert(atom);
                    }
                }
                Self::set(atoms)
            }
        }
    }

    fn into_set(self) -> BTreeSet<Atom> {
        match self {
            Self::One(atom) => BTreeSet::from([atom]),
            Self::Set(set) => set,
            Self::Map(_) => BTreeSet::new(),
        }
    }
}

impl From<Atom> for Value {
    fn from(atom: Atom) -> Self {
        Self::One(atom)
    }
}

#[cfg(test)]
mod tests;
