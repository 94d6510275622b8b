//! Measures Kilonova on a testbed that runs: how long things take, what they write, what they cost.
//!
//! ```text
//!   cloud (what servers are made from) ─┐
//!   watch (when something was seen) ────┼─► servers, kills, fleet ─► Report ─► table or JSON
//!   bare (the same by libvirt alone) ───┤
//!   writes, usage (what it cost) ───────┘
//! ```
//!
//! A figure stands beside what it is compared with, from the same run on the same machine. Never measures by
//! looking again and again: moments come from watches opened beforehand.

mod report;
mod statistics;

pub mod fleet;
pub mod kills;
pub mod ports;
pub mod servers;

mod bare;
mod virsh;

mod cloud;
mod watch;

mod machine;
mod usage;
mod writes;

pub use report::{Bar, Figures, Report, Side, Table};
