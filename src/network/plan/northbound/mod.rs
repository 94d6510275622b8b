//! Rows of OVN's northbound database: what they have to be ([`compile`]), and what has to be written for them to be so
//! ([`diff`](diff::diff)).
//!
//! A row of ours carries four marks in its `external_ids`, and is known again by the last of them, its key. Rows refer to
//! each other by keys here; UUIDs are the database's to give. Rows without marks are nobody's business but their owner's.

pub mod compile;
pub mod desired;
pub mod diff;
pub mod tables;

pub use compile::{Compiler, compile};
pub use desired::{Desired, Wanted};
pub use diff::{Change, Found, Limits, Operation, diff};
pub use tables::Kind;

/// The mark that says of what kind the object is that a row is made of.
pub const KIND: &str = "kilonova.dev/kind";
/// The mark that says which object a row is made of: `namespace/name`.
pub const OBJECT: &str = "kilonova.dev/object";
/// The mark that holds that object's UID.
pub const UID: &str = "kilonova.dev/uid";
/// The mark by which a row is known again: no two rows of ours have the same.
pub const KEY: &str = "kilonova.dev/key";

#[cfg(test)]
mod shared;
