//! Whole Ethernet frames: made, sent, received and put into words.

pub mod capture;
pub mod forge;

mod describe;
pub mod frame;
mod socket;
