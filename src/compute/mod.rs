//! Nova's job: servers, where they run, and what is done to them.
//!
//! `plan` decides and is pure; `controller` reads, asks the plan, acts and reports. The node's side of a server is
//! the room `node`; the two meet only through the kinds `Guest` and `Hypervisor`.

pub mod check;
pub mod controller;
pub mod metrics;
pub mod plan;
pub mod scheduler;
