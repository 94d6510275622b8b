//! Which Rust types columns can be: atoms, `Option`s and `BTreeSet`s and `BTreeMap`s of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Atom, Real, Value};
use crate::ovsdb::uuid::Uuid;

/// A Rust type that is one atom.
pub trait AtomType: Ord + Sized {
    /// What to call it when something else is found.
    const EXPECTED: &'static str;

    /// Itself as an atom.
    fn to_atom(&self) -> Atom;

    /// What the atom is, unless it is of another type.
    fn from_atom(atom: &Atom) -> Option<Self>;
}

/// A Rust type that a column can be read into and written from.
pub trait Column: Sized {
    /// What to call it when something else is found.
    const EXPECTED: &'static str;

    /// Itself as a value.
    fn to_value(&self) -> Value;

    /// What the value is, unless it is of another type.
    fn from_value(value: &Value) -> Option<Self>;
}

/// Names a row: one that is there, or one that the same transaction inserts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// One that is there.
    Row(Uuid),
    /// One that is inserted, by the name that the transaction has for it.
    New(Arc<str>),
}

impl Reference {
    /// The row's name, once it is there.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::Row(uuid) => Some(*uuid),
            Self::New(_) => None,
        }
    }
}

impl From<Uuid> for Reference {
    fn from(uuid: Uuid) -> Self {
        Self::Row(uuid)
    }
}

macro_rules! atom_type {
    ($type:ty, $expected:literal, $to:expr, $($atom:pat => $from:expr),+) => {
        impl AtomType for $type {
            const EXPECTED: &'static str = $expected;

            fn to_atom(&self) -> Atom {
                let to: fn(&Self) -> Atom = $to;
                to(self)
            }

            fn from_atom(atom: &Atom) -> Option<Self> {
                match atom {
                    $($atom => Some($from),)+
                    _ => None,
                }
            }
        }
    };
}

atom_type!(bool, "a truth", |truth| Atom::Boolean(*truth), Atom::Boolean(truth) => *truth);
atom_type!(i64, "an integer", |number| Atom::Integer(*number), Atom::Integer(number) => *number);
atom_type!(String, "a text", |text| Atom::String(text.clone()), Atom::String(text) => text.clone());
atom_type!(Uuid, "a UUID", |uuid| Atom::Uuid(*uuid), Atom::Uuid(uuid) => *uuid);
atom_type!(
    Reference,
    "a UUID",
    |reference| match reference {
        Reference::Row(uuid) => Atom::Uuid(*uuid),
        Reference::New(name) => Atom::Named(Arc::clone(name)),
    },
    Atom::Uuid(uuid) => Self::Row(*uuid),
    Atom::Named(name) => Self::New(Arc::clone(name))
);

impl AtomType for Real {
    const EXPECTED: &'static str = "a real number";

    fn to_atom(&self) -> Atom {
        Atom::Real(*self)
    }

    // JSON writes whole numbers as integers, and those beyond 2^53 are not exact in a real column either.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a column of reals is no more exact"
    )]
    fn from_atom(atom: &Atom) -> Option<Self> {
        match atom {
            Atom::Real(number) => Some(*number),
            Atom::Integer(number) => Some(Self(*number as f64)),
            _ => None,
        }
    }
}

impl<T: AtomType> Column for T {
    const EXPECTED: &'static str = T::EXPECTED;

    fn to_value(&self) -> Value {
        self.to_atom().into()
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::One(atom) => T::from_atom(atom),
            Value::Set(_) | Value::Map(_) => None,
        }
    }
}

impl<T: AtomType> Column for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn to_value(&self) -> Value {
        Value::set(self.iter().map(T::to_atom))
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::One(atom) => T::from_atom(atom).map(Some),
            Value::Set(atoms) => atoms.is_empty().then_some(None),
            Value::Map(_) => None,
        }
    }
}

impl<T: AtomType> Column for BTreeSet<T> {
    const EXPECTED: &'static str = "a set";

    fn to_value(&self) -> Value {
        Value::set(self.iter().map(T::to_atom))
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Map(_) => None,
            value => value.atoms().map(T::from_atom).collect(),
        }
    }
}

impl<K: AtomType, V: AtomType> Column for BTreeMap<K, V> {
    const EXPECTED: &'static str = "a map";

    fn to_value(&self) -> Value {
        let pairs = self.iter();
        Value::Map(pairs.map(|(k, v)| (k.to_atom(), v.to_atom())).collect())
    }

    fn from_value(value: &Value) -> Option<Self> {
        let pair = |(k, v)| Some((K::from_atom(k)?, V::from_atom(v)?));
        match value {
            Value::Map(pairs) => pairs.iter().map(pair).collect(),
            // How an empty map looks in a row that leaves out what is as it began.
            Value::Set(atoms) => atoms.is_empty().then(BTreeMap::new),
            Value::One(_) => None,
        }
    }
}

impl<T: Column> From<T> for Value {
    fn from(column: T) -> Self {
        column.to_value()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
