//! The node agent's room: `Guest` objects of one node → libvirt domains, and back into status.
//!
//! ```text
//!   Guest ──► controller/guest ──► plan/decide ──► disks, seed, driver ──► plan/report ──► Guest.status
//!   libvirt events, image downloads ──┘ (triggers: say who to look at, never what to do)
//! ```
//!
//! It must never reach beyond its node: it reads its own namespace only, and touches no domain without our mark.

pub mod controller;
pub mod disks;
pub mod driver;
#[cfg(test)]
pub mod fake;
mod files;
pub mod images;
#[cfg(feature = "libvirt")]
pub mod libvirt;
pub mod metrics;
mod openflow;
pub mod plan;
pub mod seed;
pub mod switch;
