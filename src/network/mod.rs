//! Neutron's job: networks, subnets, ports, routers, security groups, floating IPs and load balancers, made real by OVN.
//!
//! ```text
//!   objects ──controllers──► status: accepted? which addresses?        (Kubernetes; one object at a time)
//!      │                        │
//!      └──────────┬─────────────┘
//!            topology           what the cloud's networks are, resolved and complete      (pure)
//!                 │ compile
//!            desired rows ──diff with the replica──► transactions ──► OVN's northbound database
//!                                                                          │ northd, ovn-controller
//!      ports' status ◄── `up` of logical switch ports ◄──────────────────── flows on the nodes
//!                                                                          │
//!      sightings ◄── where gateways are, which members answer ◄── OVN's southbound database
//! ```
//!
//! Sightings are part of what is surveyed, beside the objects. The room never speaks to a node, and never decides where a server runs.

pub mod allocator;
pub mod controller;
pub mod metrics;
pub mod observer;
pub mod pki;
pub mod plan;
pub mod realiser;
