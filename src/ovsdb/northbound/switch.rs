//! Logical switches and what hangs on them.

use std::collections::BTreeSet;

use super::Texts;
use crate::ovsdb::row::table;
use crate::ovsdb::value::Reference;

table! {
    /// A logical switch: one layer 2 network.
    pub struct LogicalSwitch in "Logical_Switch" {
        /// For people; need not be unique.
        pub name: String,
        /// Its ports, which live as long as they are here.
        pub ports: BTreeSet<Reference>,
        /// Its own rules, beside those of port groups.
        pub acls: BTreeSet<Reference>,
        /// Its limits of bandwidth, and marks.
        pub qos_rules: BTreeSet<Reference>,
        /// Load balancers for what its ports send.
        pub load_balancer: BTreeSet<Reference>,
        /// Names that are answered inside of it.
        pub dns_records: BTreeSet<Reference>,
        /// Settings, such as `subnet` and `mcast_snoop`.
        pub other_config: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A port of a logical switch. Goes when no switch has it.
    pub struct LogicalSwitchPort in "Logical_Switch_Port" {
        /// What an interface's `iface-id` says. Unique in the database.
        pub name: String,
        /// Empty for a guest's; `router`, `localnet`, `localport` and others.
        pub kind: String = "type",
        /// By type, such as `router-port`, `network_name`, `requested-chassis`.
        pub options: Texts,
        /// The VLAN that is asked for on a `localnet` port.
        pub tag: Option<i64>,
        /// Each a MAC and its addresses, or `router`, or `unknown`.
        pub addresses: BTreeSet<String>,
        /// What may be sent from it; nothing is checked if it is empty.
        pub port_security: BTreeSet<String>,
        /// Whether a node has bound it and its flows are there. Written by OVN.
        pub up: Option<bool>,
        /// Whether it passes packets; it does if this is not said.
        pub enabled: Option<bool>,
        /// What its guest is told by DHCP, version 4.
        pub dhcpv4_options: Option<Reference>,
        /// What its guest is told by DHCP, version 6.
        pub dhcpv6_options: Option<Reference>,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// What DHCP tells.
    pub struct DhcpOptions in "DHCP_Options" {
        /// For which addresses.
        pub cidr: String,
        /// By OVN's names, such as `server_id`, `lease_time`, `router`, `mtu`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// Names that are answered on the switches that have it.
    pub struct Dns in "DNS" {
        /// Names in small letters, and their addresses with blanks between them.
        pub records: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A limit of bandwidth, or a mark, for packets on a switch.
    pub struct Qos in "QoS" {
        /// The higher wins: 0 to 32767.
        pub priority: i64,
        /// `from-lport` or `to-lport`.
        pub direction: String,
        /// Which packets.
        pub condition: String = "match",
        /// `dscp` or `mark`, and the number.
        pub action: std::collections::BTreeMap<String, i64>,
        /// `rate` and `burst`, in 1,000 bits (a second).
        pub bandwidth: std::collections::BTreeMap<String, i64>,
        /// Whose it is.
        pub external_ids: Texts,
    }
}
