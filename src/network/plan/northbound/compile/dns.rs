//! Names inside of a network. OVN answers questions for them on the guest's own node, whomever they are asked; other
//! questions go on.
//!
//! A port has the names `name.<project>.internal`, of its own project, and, if the network is of that project, `name` alone:
//! on a shared network nobody takes a name from its owner. Guests are told the domain of their network's project, so that
//! their resolvers find short names, too. Ports of the same name share it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::Switch;
use crate::ovsdb::northbound::{Dns, Texts};

use super::Hung;

/// The domain of a project's names. `internal` is nobody's in the world's DNS, and stays so (ICANN, 2024).
pub fn domain(project: &str) -> String {
    format!("{project}.internal")
}

/// One row with all names, if there are any.
pub fn rows(uid: &str, switch: &Switch, hung: &mut Hung, builder: &mut Builder) {
    let records = records(switch);
    if records.is_empty() {
        return;
    }
    let key = format!("dns/{uid}");
    hung.names.insert(reference(key.as_str()));
    let row = Dns {
        records,
        ..Dns::default()
    };
    builder.add(Kind::Dns, key, &switch.origin, None, &row);
}

fn records(switch: &Switch) -> Texts {
    let mut forward: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut records = Texts::new();
    for port in switch.ports.values() {
        let addresses = || port.addresses.iter().map(|(_, ip)| *ip);
        let is_owner = port.origin.namespace == switch.origin.namespace;
        for name in &port.names {
            let name = name.to_lowercase();
            let full = format!("{name}.{}", domain(&port.origin.namespace));
            for address in addresses() {
                // The first name is the one that an address has.
                records
                    .entry(reverse(address))
                    .or_insert_with(|| full.clone());
            }
            forward.entry(full).or_default().extend(addresses());
            if is_owner {
                forward.entry(name).or_default().extend(addresses());
            }
        }
    }
    let named = forward.into_iter().filter(|(_, ips)| !ips.is_empty());
    records.extend(named.map(|(name, ips)| {
        let words: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
        (name, words.join(" "))
    }));
    records
}

/// The name under which DNS has the name of an address (RFC 1035, section 3.5, and RFC 3596, section 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let digits = format!("{:032x}", u128::from(ip));
            let digits: Vec<String> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}
