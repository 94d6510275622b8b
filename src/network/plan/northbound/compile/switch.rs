//! Networks: logical switches, the port by which each node serves its own guests their metadata, and for one that is a
//! physical network, the port that leads there.

use std::collections::BTreeSet;

use crate::api::metadata;
use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::Switch;
use crate::ovsdb::northbound::{LogicalSwitch, LogicalSwitchPort, Texts};

use super::{Hung, key, on_switch};

/// The switch itself, with all that was noted, and its way to the physical network.
pub fn rows(uid: &str, switch: &Switch, hung: Hung, builder: &mut Builder) {
    let mut ports = hung.ports;
    if let Some(provider) = &switch.provider {
        let key = format!("provider/{uid}");
        ports.insert(reference(key.as_str()));
        let row = LogicalSwitchPort {
            name: format!("provider-{uid}"),
            kind: "localnet".to_owned(),
            addresses: BTreeSet::from(["unknown".to_owned()]),
            tag: provider.vlan.map(i64::from),
            options: Texts::from([("network_name".to_owned(), provider.physical_network.clone())]),
            ..LogicalSwitchPort::default()
        };
        builder.add(
            Kind::SwitchPort,
            key,
            &switch.origin,
            Some(on_switch(uid)),
            &row,
        );
    }
    // On a node that serves no metadata nobody binds it, and questions to it end there.
    if switch.subnets.values().any(|subnet| !subnet.cidr.is_ipv6()) {
        let key = format!("metadata/{uid}");
        ports.insert(reference(key.as_str()));
        let row = LogicalSwitchPort {
            name: metadata::port_name(uid),
            kind: "localport".to_owned(),
            addresses: BTreeSet::from([format!("{} {}", metadata::mac(uid), metadata::ADDRESS)]),
            ..LogicalSwitchPort::default()
        };
        builder.add(
            Kind::SwitchPort,
            key,
            &switch.origin,
            Some(on_switch(uid)),
            &row,
        );
    }
    let row = LogicalSwitch {
        name: uid.to_owned(),
        ports,
        qos_rules: hung.limits,
        dns_records: hung.names,
        load_balancer: hung.balancers,
        ..LogicalSwitch::default()
    };
    builder.add(Kind::Switch, key::switch(uid), &switch.origin, None, &row);
}
