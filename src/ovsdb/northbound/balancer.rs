//! Load balancers.

use std::collections::BTreeSet;

use super::Texts;
use crate::ovsdb::row::table;
use crate::ovsdb::value::Reference;

table! {
    /// Virtual addresses and who stands behind them.
    pub struct LoadBalancer in "Load_Balancer" {
        /// For people; need not be unique.
        pub name: String,
        /// Virtual addresses (with ports) and their members, with commas between them.
        pub vips: Texts,
        /// `tcp`, `udp` or `sctp`.
        pub protocol: Option<String>,
        /// How the members are watched.
        pub health_check: BTreeSet<Reference>,
        /// Members' addresses, and the ports and the addresses that they are asked from.
        pub ip_port_mappings: Texts,
        /// What of a packet selects its member, such as `ip_src`; all of the connection if this is empty.
        pub selection_fields: BTreeSet<String>,
        /// Settings, such as `reject` and `hairpin_snat_ip`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// How the members behind one virtual address are watched. Goes when no load balancer has it.
    pub struct LoadBalancerHealthCheck in "Load_Balancer_Health_Check" {
        /// Which one.
        pub vip: String,
        /// `interval`, `timeout`, `success_count`, `failure_count`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }
}
