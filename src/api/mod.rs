//! The nouns: every custom resource, and the value types that they are made of.
//!
//! Each kind is one file. Types here are parsed, not validated: whoever holds a value of one of them holds
//! something well-formed. This module is data only: it must never read a clock, talk to the API server or
//! decide anything.

pub mod condition;
pub mod flavor;
pub mod guest;
pub mod hypervisor;
pub mod image;
pub mod key_pair;
pub mod server;
pub mod server_action;
pub mod value;

mod crds;
mod rule;

pub use crds::all as crds;

/// The API group of every kind.
pub const GROUP: &str = "kilonova.dev";

/// The label by which an administrator puts a Kubernetes node in: its value must be `true`.
pub const HYPERVISOR_LABEL: &str = "kilonova.dev/hypervisor";

/// The label of every agent's heartbeat, by which the operator finds them.
pub const HEARTBEAT_LABEL: &str = "kilonova.dev/heartbeat";

/// The namespace that holds everything of one node: its guests, their seeds, its heartbeat.
pub fn node_namespace(node: &str) -> String {
    format!("kilonova-node-{node}")
}
