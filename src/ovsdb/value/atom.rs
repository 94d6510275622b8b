//! The smallest values.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::ovsdb::uuid::Uuid;

/// One indivisible value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A 64-bit integer. One that a column of reals holds is an integer in JSON, too.
    Integer(i64),
    /// A real number.
    Real(Real),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(String),
    /// The name of a row.
    Uuid(Uuid),
    /// The name of a row that is inserted by the same transaction; never in an answer. Shared, since names are in as many
    /// places as there are references to a row.
    Named(Arc<str>),
}

impl Atom {
    /// Whether it is what its type begins with: zero, false, no text.
    pub fn is_default(&self) -> bool {
        match self {
            Self::Integer(number) => *number == 0,
            Self::Real(Real(number)) => *number == 0.0,
            Self::Boolean(truth) => !truth,
            Self::String(text) => text.is_empty(),
            Self::Uuid(uuid) => uuid.is_nil(),
            Self::Named(_) => false,
        }
    }
}

/// A real number with the total order of IEEE 754, so that it can be in sets. JSON has no infinities and no NaN.
#[derive(Clone, Copy, Debug)]
pub struct Real(pub f64);

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Real {}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
