//! Runs the central side of OVN in pods: each container is one of its programs, with this one above it in place of the
//! shell scripts that OVN has for that.
//!
//! ```text
//!   kilonova-ovn-0            kilonova-ovn-1            kilonova-ovn-2
//!     northbound   ◄── raft ──► northbound   ◄── raft ──► northbound      6641 (6643)
//!     southbound   ◄── raft ──► southbound   ◄── raft ──► southbound      6642, 16642 (6644)
//!     northd (active)           northd (standby)          northd (standby)
//! ```
//!
//! What holds:
//!
//! - **Never a second cluster.** A database is founded by the first member only, and only when each other member has said
//!   that it has none. Who is silent may have one.
//! - **A member that lost its volume joins anew**, and the leader puts out the one that it was before.
//! - **Nobody waits for a leader that goes.** One that is asked to stop hands the lead over first.
//! - **Nodes write what ovn-controllers write.** At the port that nodes are told of, OVN's role lets each change the rows
//!   of the chassis that its certificate names, and say where ports are bound and which addresses it learned; no more.
//!
//! The room knows nothing of what is in the databases.

mod connections;
mod control;
pub mod founding;
pub mod member;
pub mod plan;
pub mod supervise;
