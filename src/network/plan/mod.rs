//! What the room decides, purely: no client, no clock, no randomness.

pub mod northbound;
pub mod topology;
