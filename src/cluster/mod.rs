//! What every controller shares: watching, writing, running, electing a leader, and saying what happened.
//!
//! Nothing here knows what a server or a network is. It must never decide anything about them.

pub mod cache;
pub mod controller;
pub mod election;
pub mod login;
pub mod metrics;
#[cfg(test)]
pub(crate) mod mock;
pub mod probe;
pub mod reporter;
pub mod request;
pub mod telemetry;
pub mod writer;

pub use cache::{Cache, Change};
pub use request::{Error, Failure, Result, read};
pub use writer::Writer;
