//! What the room decides, purely: no client, no clock, no randomness.

pub mod cloud;
pub mod northbound;
pub mod sightings;
pub mod topology;

pub mod survey;

pub mod happening;
pub mod keep;
pub mod pace;
pub mod patience;
pub mod standing;

mod world;

pub mod layout;
pub mod ledger;
pub mod problem;

pub mod balancer;
pub mod floating;
pub mod group;
pub mod plugs;
pub mod port;
pub mod router;

pub use world::{SERVER_LABEL, Seen};

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
