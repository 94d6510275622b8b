//! Security groups: port groups and their rules, which let pass what they name. Everything else is stopped by the ports'
//! [`guard`](super::guard).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::api::security_group::{Direction, Family, Protocol};
use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::{Group, Peer, Port, Rule, Topology, Uid};
use crate::ovsdb::Reference;
use crate::ovsdb::northbound::{Acl, AddressSet, PortGroup};

use super::key;
use super::port::shortest;

/// What rules let pass.
pub const ALLOWED: i64 = 1002;

/// All groups.
pub fn rows(topology: &Topology, builder: &mut Builder) {
    let named = peers(topology);
    let members = Members::of(topology, &named);
    for (uid, group) in &topology.groups {
        group_rows(topology, uid, group, &members, builder);
        if named.contains(uid) {
            pair_rows(uid, group, &members, builder);
        }
    }
}

/// Which ports have which groups.
#[derive(Default)]
struct Members<'a> {
    ports: BTreeMap<&'a str, BTreeSet<Reference>>,
    /// The allowed pairs of the groups that rules name.
    pairs: BTreeMap<(&'a str, Family), BTreeSet<String>>,
}

impl<'a> Members<'a> {
    fn of(topology: &'a Topology, named: &BTreeSet<&Uid>) -> Self {
        let mut members = Self::default();
        let ports = topology.switches.values().flat_map(|switch| &switch.ports);
        for (uid, port) in ports.filter(|(_, port)| port.secure) {
            let port_key = reference(key::port(uid));
            for group in &port.groups {
                members
                    .ports
                    .entry(group)
                    .or_default()
                    .insert(port_key.clone());
                if named.contains(group) {
                    members.note_pairs(group, port);
                }
            }
        }
        members
    }

    fn note_pairs(&mut self, group: &'a str, port: &Port) {
        for (prefix, _) in &port.pairs {
            let family = if prefix.is_ipv6() {
                Family::Ipv6
            } else {
                Family::Ipv4
            };
            let pairs = self.pairs.entry((group, family)).or_default();
            pairs.insert(shortest(prefix));
        }
    }
}

/// The groups that rules name.
fn peers(topology: &Topology) -> BTreeSet<&Uid> {
    let rules = topology.groups.values().flat_map(|group| &group.rules);
    rules
        .filter_map(|rule| match &rule.peer {
            Peer::Group(uid) => Some(uid),
            Peer::Anybody | Peer::Prefix(_) => None,
        })
        .collect()
}

fn group_rows(
    topology: &Topology,
    uid: &str,
    group: &Group,
    members: &Members<'_>,
    builder: &mut Builder,
) {
    let own = group_name(uid);
    let mut acls = BTreeSet::new();
    let action = if group.stateful {
        "allow-related"
    } else {
        "allow-stateless"
    };
    for rule in &group.rules {
        let Some(what) = condition(topology, members, rule) else {
            continue;
        };
        let (way, direction, side) = match rule.direction {
            Direction::Ingress => ("in", "to-lport", "outport"),
            Direction::Egress => ("out", "from-lport", "inport"),
        };
        // Equal rules are one.
        let key = format!("rule/{uid}/{way}/{what}");
        acls.insert(reference(key.as_str()));
        let row = Acl {
            priority: ALLOWED,
            direction: direction.to_owned(),
            condition: format!("{side} == @{own} && {what}"),
            action: action.to_owned(),
            ..Acl::default()
        };
        let parent = Some((Kind::PortGroup, key::group(uid)));
        builder.add(Kind::Acl, key, &group.origin, parent, &row);
    }
    let row = PortGroup {
        name: own,
        ports: members.ports.get(uid).cloned().unwrap_or_default(),
        acls,
        ..PortGroup::default()
    };
    builder.add(Kind::PortGroup, key::group(uid), &group.origin, None, &row);
}

/// OVN makes sets of the ports' own addresses by itself, under the port group's name; those of allowed pairs it leaves out.
fn pair_rows(uid: &str, group: &Group, members: &Members<'_>, builder: &mut Builder) {
    for family in [Family::Ipv4, Family::Ipv6] {
        let Some(addresses) = members.pairs.get(&(uid, family)) else {
            continue;
        };
        let row = AddressSet {
            name: pairs_name(uid, family),
            addresses: addresses.clone(),
            ..AddressSet::default()
        };
        let key = format!("pairs/{uid}/{}", suffix(family));
        builder.add(Kind::AddressSet, key, &group.origin, None, &row);
    }
}

fn group_name(uid: &str) -> String {
    format!("pg_{}", uid.replace('-', "_"))
}

fn pairs_name(uid: &str, family: Family) -> String {
    format!("pairs_{}_{}", uid.replace('-', "_"), suffix(family))
}

fn suffix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip4",
        Family::Ipv6 => "ip6",
    }
}

/// What a rule lets pass, whatever the port; none, if it names a group that there is not, and so nobody.
fn condition(topology: &Topology, members: &Members<'_>, rule: &Rule) -> Option<String> {
    let mut what = match &rule.peer {
        Peer::Anybody => family_of(rule).unwrap_or("ip").to_owned(),
        Peer::Prefix(prefix) => {
            let family = if prefix.is_ipv6() { "ip6" } else { "ip4" };
            if family_of(rule).is_some_and(|other| other != family) {
                return None;
            }
            format!("{family} && {family}.{} == {prefix}", side(rule.direction))
        }
        Peer::Group(uid) => {
            topology.groups.get(uid)?;
            let families = [Family::Ipv4, Family::Ipv6].into_iter();
            let asked = families
                .filter(|family| family_of(rule).is_none_or(|only| only == suffix(*family)));
            let parts: Vec<String> = asked
                .map(|family| of_group(members, uid, family, rule.direction))
                .collect();
            match parts.as_slice() {
                [one] => one.clone(),
                parts => format!("({})", parts.join(" || ")),
            }
        }
    };
    if let Some(protocol) = rule.protocol {
        write_protocol(&mut what, protocol, rule);
    }
    Some(what)
}

/// The family that a rule is of, by what it says and by its protocol.
fn family_of(rule: &Rule) -> Option<&'static str> {
    match (rule.family, rule.protocol) {
        (Some(Family::Ipv4), _) | (None, Some(Protocol::Icmp)) => Some("ip4"),
        (Some(Family::Ipv6), _) | (None, Some(Protocol::Icmpv6)) => Some("ip6"),
        (None, _) => None,
    }
}

/// Which side of a packet the peer is.
fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "src",
        Direction::Egress => "dst",
    }
}

fn of_group(members: &Members<'_>, uid: &str, family: Family, direction: Direction) -> String {
    let (ip, side) = (suffix(family), side(direction));
    let own = format!("${}_{ip}", group_name(uid));
    if members.pairs.contains_key(&(uid, family)) {
        format!("{ip}.{side} == {{{own}, ${}}}", pairs_name(uid, family))
    } else {
        format!("{ip}.{side} == {own}")
    }
}

fn write_protocol(what: &mut String, protocol: Protocol, rule: &Rule) {
    let word = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
        Protocol::Icmp => "icmp4",
        Protocol::Icmpv6 => "icmp6",
    };
    // To write into a text cannot fail.
    let _ = write!(what, " && {word}");
    match (protocol, rule.ports, rule.icmp) {
        (Protocol::Tcp | Protocol::Udp | Protocol::Sctp, Some(ports), _) => {
            let _ = if ports.from == ports.to {
                write!(what, " && {word}.dst == {}", ports.from)
            } else {
                write!(what, " && {0} <= {word}.dst <= {1}", ports.from, ports.to)
            };
        }
        (Protocol::Icmp | Protocol::Icmpv6, _, Some(icmp)) => {
            let _ = write!(what, " && {word}.type == {}", icmp.kind);
            if let Some(code) = icmp.code {
                let _ = write!(what, " && {word}.code == {code}");
            }
        }
        _ => {}
    }
}
