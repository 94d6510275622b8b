//! Kilonova: OpenStack-style infrastructure as a service inside Kubernetes.

pub mod api;
