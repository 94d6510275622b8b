//! What the API server says of every kind before any of our code runs: what it takes, what it refuses and in which
//! words, what it fills in, and how it shows it.
//!
//! A control plane alone, with the CRDs and without an operator: nothing but schemas and their rules is at work. One
//! section for each kind; a rule that has no line here can be lost without anybody noticing.

mod desk;

mod balancer;
mod flavor;
mod hypervisor;
mod image;
mod key_pair;
mod networks;
mod server;
mod server_action;
mod server_names;
mod sizes;

mod reading;

pub use desk::Desk;
