//! What guards the secure ports of a network: a group of them whose rules let nothing pass; rules of their security groups,
//! of a higher priority, let pass what they name. So a port without security groups, and one whose rules are not all there
//! yet, is shut.
//!
//! Each network has a group of its own: ovn-controller looks at every member that is plugged in on its node for every rule
//! and every network that the group has members on, so that one group for all costs the product of all three.
//!
//! A rule that names the group takes flows of every member on a node, one that does not takes a few for all. So those do not
//! that only open, since of others than members the network lets all pass in any case; nor those of what no guest may send,
//! in a network of which all ports are guarded and which leads to no physical one: nobody in it may.
//!
//! What passes whatever rules say, since OVN's own flows of a still higher priority have it so on a switch with stateful
//! rules: ARP, neighbour discovery, multicast listener discovery, and router advertisements. Forged ones of the first two
//! are stopped by port security; forged router advertisements by nothing that the northbound database has (23.03: flows of
//! priority 65532 in each of the tables that rules become), so the agent on the node stops them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::network::plan::northbound::desired::{Builder, Key, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::Switch;
use crate::ovsdb::Reference;
use crate::ovsdb::northbound::{Acl, PortGroup};

use super::filter::ALLOWED;
use super::key;

/// What no rule can let pass.
const NEVER: i64 = 1003;
/// What is let pass by no rule.
const DROPPED: i64 = 1001;

/// The rules that every secure port has: name, direction, priority, what is meant, action.
const COMMON: [(&str, &str, i64, &str, &str); 7] = [
    ("ip-out", "from-lport", DROPPED, "ip", "drop"),
    ("ip-in", "to-lport", DROPPED, "ip", "drop"),
    // Questions to DHCP servers, which OVN answers itself behind the rules.
    (
        "dhcp",
        "from-lport",
        ALLOWED,
        "ip4 && udp.src == 68 && udp.dst == 67",
        "allow",
    ),
    (
        "dhcpv6",
        "from-lport",
        ALLOWED,
        "ip6 && udp.src == 546 && udp.dst == 547",
        "allow",
    ),
    // Questions to the metadata service, whatever the groups say, as in other clouds.
    (
        "metadata",
        "from-lport",
        ALLOWED,
        "ip4.dst == 169.254.169.254 && tcp.dst == 80",
        "allow-related",
    ),
    // A guest is no DHCP server, no router, and redirects nobody.
    (
        "dhcp-server",
        "from-lport",
        NEVER,
        "((ip4 && udp.src == 67 && udp.dst == 68) || (ip6 && udp.src == 547 && udp.dst == 546))",
        "drop",
    ),
    (
        "router",
        "from-lport",
        NEVER,
        "((ip4 && icmp4.type == {5, 9}) || (ip6 && icmp6.type == 137))",
        "drop",
    ),
];

/// What guards the secure ports of a network, if it has any.
pub fn rows(uid: &str, switch: &Switch, builder: &mut Builder) {
    let secure = switch.ports.iter().filter(|(_, port)| port.secure);
    let ports: BTreeSet<Reference> = secure.map(|(uid, _)| reference(key::port(uid))).collect();
    if ports.is_empty() {
        return;
    }
    let is_whole = switch.provider.is_none() && switch.ports.values().all(|port| port.secure);
    let group = key::guard(uid);
    let name = name(uid);
    let mut acls = BTreeSet::new();
    for (rule, direction, priority, what, action) in COMMON {
        let key = format!("{group}/{rule}");
        let condition = if action != "drop" || priority == NEVER && is_whole {
            what.to_owned()
        } else if direction == "to-lport" {
            format!("outport == @{name} && {what}")
        } else {
            format!("inport == @{name} && {what}")
        };
        acls.insert(reference(key.as_str()));
        let row = Acl {
            priority,
            direction: direction.to_owned(),
            condition,
            action: action.to_owned(),
            ..Acl::default()
        };
        let parent = Some((Kind::PortGroup, Arc::clone(&group)));
        builder.add(Kind::Acl, key, &switch.origin, parent, &row);
    }
    let row = PortGroup {
        name,
        ports,
        acls,
        ..PortGroup::default()
    };
    builder.add(Kind::PortGroup, group, &switch.origin, None, &row);
}

/// Which group guards the secure ports of the switch with this key.
pub fn of(switch: &str) -> Option<(Kind, Key)> {
    let uid = switch.strip_prefix("switch/")?;
    Some((Kind::PortGroup, key::guard(uid)))
}

fn name(uid: &str) -> String {
    format!("guard_{}", uid.replace('-', "_"))
}
