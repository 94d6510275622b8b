//! Decisions about servers. Pure: no async, no client, no clock, no randomness, no I/O.

pub mod action;
pub mod build_time;
pub mod catalogue;
pub mod check;
pub mod cloud_init;
#[cfg(test)]
pub(in crate::compute) mod fixtures;
pub mod guest;
pub mod happening;
pub mod hypervisor;
pub mod needs;
pub mod ports;
pub mod resolve;
pub mod scheduler;
pub mod server;
pub mod standing;
