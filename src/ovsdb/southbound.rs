//! The tables of `OVN_Southbound` that are in use (ovn-sb(5)), with the columns in use. ovn-northd and the nodes write them.

use super::row::table;
use super::value::Reference;

/// What the database is called.
pub const DATABASE: &str = "OVN_Southbound";

table! {
    /// A node that takes part.
    pub struct Chassis in "Chassis" {
        /// Its name.
        pub name: String,
    }

    /// Where a logical port is.
    pub struct PortBinding in "Port_Binding" {
        /// The port's name.
        pub logical_port: String,
        /// Empty for a guest's; `chassisredirect` for the part of a router's port that is on one node at a time.
        pub kind: String = "type",
        /// The node.
        pub chassis: Option<Reference>,
    }

    /// A member of a load balancer that is watched.
    pub struct ServiceMonitor in "Service_Monitor" {
        /// Its address.
        pub ip: String,
        /// `tcp` or `udp`.
        pub protocol: Option<String>,
        /// Its port at the address.
        pub port: i64,
        /// The logical port that has the address.
        pub logical_port: String,
        /// `online`, `offline` or `error`, written by the node that asks; nothing before its first answer.
        pub status: Option<String>,
    }
}
