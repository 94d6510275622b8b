//! Logical routers and what hangs on them.

use std::collections::BTreeSet;

use super::Texts;
use crate::ovsdb::row::table;
use crate::ovsdb::value::Reference;

table! {
    /// A logical router.
    pub struct LogicalRouter in "Logical_Router" {
        /// For people; need not be unique.
        pub name: String,
        /// Its ports, which live as long as they are here.
        pub ports: BTreeSet<Reference>,
        /// Its static routes.
        pub static_routes: BTreeSet<Reference>,
        /// Routes by more than the destination.
        pub policies: BTreeSet<Reference>,
        /// Whether it routes; it does if this is not said.
        pub enabled: Option<bool>,
        /// Its translations of addresses.
        pub nat: BTreeSet<Reference>,
        /// Load balancers on its ports.
        pub load_balancer: BTreeSet<Reference>,
        /// Settings, such as `always_learn_from_arp_request`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A port of a logical router. Goes when no router has it.
    pub struct LogicalRouterPort in "Logical_Router_Port" {
        /// Unique in the database.
        pub name: String,
        /// On which nodes it is, if it is a gateway.
        pub gateway_chassis: BTreeSet<Reference>,
        /// Settings, such as `gateway_mtu`.
        pub options: Texts,
        /// Its addresses with their networks' lengths; at least one.
        pub networks: BTreeSet<String>,
        /// Its Ethernet address.
        pub mac: String,
        /// The router port on the other side, if there is no switch between them.
        pub peer: Option<String>,
        /// Whether it passes packets; it does if this is not said.
        pub enabled: Option<bool>,
        /// What router advertisements tell, such as `address_mode` and `mtu`.
        pub ipv6_ra_configs: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A route. Goes when no router has it.
    pub struct LogicalRouterStaticRoute in "Logical_Router_Static_Route" {
        /// The routing table; the main one if empty.
        pub route_table: String,
        /// To, or from, where.
        pub ip_prefix: String,
        /// `dst-ip` or `src-ip`; the first if this is not said.
        pub policy: Option<String>,
        /// By which address, or `discard`.
        pub nexthop: String,
        /// By which port, if the address does not say it.
        pub output_port: Option<String>,
        /// What says whether the next hop lives.
        pub bfd: Option<Reference>,
        /// Settings, such as `ecmp_symmetric_reply`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A route by any condition. Goes when no router has it.
    pub struct LogicalRouterPolicy in "Logical_Router_Policy" {
        /// The higher wins: 0 to 32767.
        pub priority: i64,
        /// Which packets.
        pub condition: String = "match",
        /// `allow`, `drop` or `reroute`.
        pub action: String,
        /// Where to.
        pub nexthops: BTreeSet<String>,
        /// Settings, such as `pkt_mark`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A translation of addresses. Goes when no router has it.
    pub struct Nat in "NAT" {
        /// `snat`, `dnat` or `dnat_and_snat`.
        pub kind: String = "type",
        /// The address outside.
        pub external_ip: String,
        /// The Ethernet address that answers for it, if it is done on the guest's own node.
        pub external_mac: Option<String>,
        /// The address, or network, inside.
        pub logical_ip: String,
        /// The guest's port, if it is done on the guest's own node.
        pub logical_port: Option<String>,
        /// Settings, such as `stateless`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A node that a router's port may be on. Goes when no port has it.
    pub struct GatewayChassis in "Gateway_Chassis" {
        /// Unique in the database.
        pub name: String,
        /// Which node.
        pub chassis_name: String,
        /// The highest that lives has the port: 0 to 32767.
        pub priority: i64,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A watch on whether a next hop lives.
    pub struct Bfd in "BFD" {
        /// From which port.
        pub logical_port: String,
        /// Which address.
        pub dst_ip: String,
        /// Milliseconds between what is sent.
        pub min_tx: Option<i64>,
        /// Milliseconds between what is received.
        pub min_rx: Option<i64>,
        /// How many may be lost.
        pub detect_mult: Option<i64>,
        /// `up`, `down`, `init` or `admin_down`. Written by OVN.
        pub status: Option<String>,
        /// Whose it is.
        pub external_ids: Texts,
    }
}
