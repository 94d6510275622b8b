//! A client of OVSDB, the database of Open vSwitch and OVN: RFC 7047 and what ovsdb-server(7) adds to it.
//!
//! | module | what | source |
//! | --- | --- | --- |
//! | [`wire`] | messages in a stream of bytes; one connection, its requests, deadlines and limits | RFC 7047, 4 |
//! | [`value`] | atoms, sets, maps, and Rust types for them | RFC 7047, 5.1 |

pub mod wire;

pub mod value;

mod uuid;

pub use uuid::{NotUuid, Uuid};
pub use value::Reference;
pub use wire::{Endpoint, Limits, Outcome, Tls};
