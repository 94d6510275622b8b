//! Every test that needs real parts, in one binary, so that one testbed serves them all.
//!
//! Each module opens with what it shows. Tests wait on conditions, never on time, and leave nothing behind; a test
//! that cannot run on a machine fails and says why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails should say where"
)]

mod repository;

mod admission;
mod libvirt;
mod metadata;
mod network;
mod ovsdb;

mod shared;

mod actions;
mod bad_input;
mod central;
mod churn;
mod debian;
mod firmware;
mod image;
mod inside;
mod installation;
mod lifecycle;
mod networks;
mod observability;
mod packets;
mod resilience;
mod restart;
mod scheduling;
