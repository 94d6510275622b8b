//! Kilonova: OpenStack-style infrastructure as a service inside Kubernetes.

pub mod api;
pub mod cli;
pub mod cluster;
pub mod compute;
pub mod node;
