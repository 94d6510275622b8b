//! Ports of guests: who they are, where they may be, and what they may send.
//!
//! `port_security` is what stops forged Ethernet, IPv4, ARP, IPv6 and neighbour advertisements, in the switch of the guest's
//! own node. It does not stop router advertisements: see [`guard`](super::guard).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::api::address::{Cidr, Mac, bits};
use crate::api::subnet::Ipv6Mode;
use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::{Port, Switch};
use crate::ovsdb::Reference;
use crate::ovsdb::northbound::{LogicalSwitchPort, Texts};

use super::{Hung, key, on_switch};

/// The ports of a switch.
pub fn rows(uid: &str, switch: &Switch, hung: &mut Hung, builder: &mut Builder) {
    let users = users(switch);
    let place = on_switch(uid);
    for (port_uid, port) in &switch.ports {
        let key = key::port(port_uid);
        hung.ports.insert(reference(Arc::clone(&key)));
        let row = LogicalSwitchPort {
            name: port_uid.clone(),
            options: options(port),
            addresses: addresses(port, &users),
            port_security: security(port),
            enabled: (!port.enabled).then_some(false),
            dhcpv4_options: dhcp(switch, port, IpAddr::is_ipv4),
            dhcpv6_options: dhcp(switch, port, IpAddr::is_ipv6),
            ..LogicalSwitchPort::default()
        };
        builder.add(
            Kind::SwitchPort,
            key,
            &port.origin,
            Some((place.0, Arc::clone(&place.1))),
            &row,
        );
    }
}

/// How many ports of the switch use each MAC address.
fn users(switch: &Switch) -> BTreeMap<Mac, usize> {
    let mut users = BTreeMap::new();
    for port in switch.ports.values() {
        let pairs = port.pairs.iter().filter_map(|(_, mac)| *mac);
        let macs: BTreeSet<Mac> = pairs.chain([port.mac]).collect();
        for mac in macs {
            *users.entry(mac).or_default() += 1;
        }
    }
    users
}

/// Only the node that the server is bound to may take the port: another one, with an old copy of the guest, does not.
fn options(port: &Port) -> Texts {
    let node = port.node.iter();
    node.map(|node| ("requested-chassis".to_owned(), node.clone()))
        .collect()
}

/// Where frames are sent to the port, and for which addresses OVN answers ARP and neighbour solicitations.
///
/// It does not answer for allowed pairs, which may move. A pair's MAC address that two ports have is of neither: frames to
/// it go to both.
fn addresses(port: &Port, users: &BTreeMap<Mac, usize>) -> BTreeSet<String> {
    let ips: Vec<IpAddr> = port.addresses.iter().map(|(_, ip)| *ip).collect();
    let mut addresses = BTreeSet::from([words(port.mac, ips.iter().map(IpAddr::to_string))]);
    let macs = port.pairs.iter().filter_map(|(_, mac)| *mac);
    let others: BTreeSet<Mac> = macs.filter(|mac| *mac != port.mac).collect();
    let is_shared = |mac: &&Mac| users.get(*mac).is_some_and(|users| *users > 1);
    if !port.secure || others.iter().any(|mac| is_shared(&mac)) {
        addresses.insert("unknown".to_owned());
    }
    let own = others.iter().filter(|mac| !is_shared(mac));
    addresses.extend(own.map(Mac::to_string));
    addresses
}

/// What may be sent: nothing is checked if this is empty.
fn security(port: &Port) -> BTreeSet<String> {
    if !port.secure {
        return BTreeSet::new();
    }
    let own = port.addresses.iter().map(|(_, ip)| ip.to_string());
    let mut by_mac: BTreeMap<Mac, BTreeSet<String>> = BTreeMap::from([(port.mac, own.collect())]);
    for (prefix, mac) in &port.pairs {
        let addresses = by_mac.entry(mac.unwrap_or(port.mac)).or_default();
        addresses.insert(shortest(prefix));
    }
    by_mac
        .into_iter()
        .map(|(mac, addresses)| words(mac, addresses))
        .collect()
}

/// A prefix as `port_security` wants it: with a length, it would be an address in a network.
pub fn shortest(prefix: &Cidr) -> String {
    let address = prefix.net().addr();
    if prefix.net().prefix_len() == bits(address) {
        address.to_string()
    } else {
        prefix.to_string()
    }
}

fn words(mac: Mac, addresses: impl IntoIterator<Item = String>) -> String {
    addresses
        .into_iter()
        .fold(mac.to_string(), |words, ip| words + " " + &ip)
}

/// What the port's first address of a family is told by DHCP.
fn dhcp(switch: &Switch, port: &Port, is_of_family: fn(&IpAddr) -> bool) -> Option<Reference> {
    let mut own = port.addresses.iter().filter(|(_, ip)| is_of_family(ip));
    let (uid, ip) = own.next()?;
    let subnet = switch.subnets.get(uid)?;
    let tells = subnet.dhcp && (ip.is_ipv4() || subnet.ipv6_mode != Ipv6Mode::Slaac);
    tells.then(|| reference(key::dhcp(uid)))
}
