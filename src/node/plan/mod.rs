//! What the agent decides. Pure: facts in, decisions with their reasons out.
//!
//! Nothing here may wait, read a clock, throw dice, log, or touch a client, a file or the environment.

pub mod action;
pub mod capabilities;
pub mod decide;
pub mod domain;
#[cfg(test)]
pub(super) mod fixtures;
pub mod guard;
pub mod host;
pub mod image_format;
pub mod leftovers;
pub mod orphans;
pub mod report;
pub mod seed;
