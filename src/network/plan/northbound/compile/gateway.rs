//! A router's way outside: its port in an external network, the nodes that may have it, and translations of addresses.
//!
//! Translations are done where packets pass this port, and nowhere else: between networks of one router addresses stay as
//! they are. Without a node that may have the port, a router has no way outside: its packets would leave from every node,
//! with addresses that nobody outside knows.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::sightings::gateway_port;
use crate::network::plan::topology::{Floating, Gateway, Router, Switch, Topology};
use crate::ovsdb::northbound::{
    GatewayChassis, LogicalRouterPort, LogicalRouterStaticRoute, Nat, Texts,
};

use super::router::{Parts, networks, plug};
use super::{Notes, everywhere, on_router};

/// The gateway, if the router has one.
pub fn rows(
    topology: &Topology,
    uid: &str,
    router: &Router,
    parts: &mut Parts,
    notes: &mut Notes,
    builder: &mut Builder,
) {
    let Some(gateway) = &router.gateway else {
        return;
    };
    let Some(outside) = topology.switches.get(&gateway.interface.switch) else {
        return;
    };
    if gateway.chassis.is_empty() || networks(outside, &gateway.interface).is_empty() {
        return;
    }
    let name = gateway_port(uid);
    port(
        topology,
        uid,
        router,
        (gateway, outside),
        &name,
        parts,
        builder,
    );
    // The port's own addresses, and those of floating IPs, are announced when it comes to another node. Those of load
    // balancers need not be: the port's hardware address is theirs, too, and known by then.
    let options = Texts::from([
        ("nat-addresses".to_owned(), "router".to_owned()),
        ("exclude-lb-vips-from-garp".to_owned(), "true".to_owned()),
    ]);
    let switch = &gateway.interface.switch;
    plug(
        &name,
        &name,
        switch,
        &router.origin,
        options,
        notes,
        builder,
    );
    for hop in &gateway.next_hops {
        let key = format!("route/{uid}/default/{hop}");
        parts.routes.insert(reference(key.as_str()));
        let row = LogicalRouterStaticRoute {
            ip_prefix: everywhere(*hop).to_owned(),
            nexthop: hop.to_string(),
            output_port: Some(name.clone()),
            ..LogicalRouterStaticRoute::default()
        };
        builder.add(Kind::Route, key, &router.origin, Some(on_router(uid)), &row);
    }
    if gateway.snat {
        snat(topology, uid, router, gateway, parts, builder);
    }
    for (floating_uid, floating) in &router.floating {
        floating_row(uid, floating_uid, floating, parts, builder);
    }
}

fn port(
    topology: &Topology,
    uid: &str,
    router: &Router,
    (gateway, outside): (&Gateway, &Switch),
    name: &str,
    parts: &mut Parts,
    builder: &mut Builder,
) {
    let key = format!("gateway/{uid}");
    let mut nodes = BTreeSet::new();
    for (node, priority) in &gateway.chassis {
        let node_key = format!("gateway-node/{uid}/{node}");
        nodes.insert(reference(node_key.as_str()));
        let row = GatewayChassis {
            name: format!("{name}-{node}"),
            chassis_name: node.clone(),
            priority: i64::from(*priority),
            ..GatewayChassis::default()
        };
        let parent = Some((Kind::RouterPort, key.as_str().into()));
        builder.add(Kind::GatewayChassis, node_key, &router.origin, parent, &row);
    }
    let row = LogicalRouterPort {
        name: name.to_owned(),
        networks: networks(outside, &gateway.interface),
        mac: gateway.interface.mac.to_string(),
        gateway_chassis: nodes,
        options: mtu(topology, router, outside),
        ..LogicalRouterPort::default()
    };
    parts.ports.insert(reference(key.as_str()));
    builder.add(
        Kind::RouterPort,
        key,
        &router.origin,
        Some(on_router(uid)),
        &row,
    );
}

/// Who sends from outside what is too large for a network inside is told so, instead of waiting for an answer for ever.
fn mtu(topology: &Topology, router: &Router, outside: &Switch) -> Texts {
    let interfaces = router.interfaces.iter();
    let inside = interfaces.filter_map(|interface| topology.switches.get(&interface.switch));
    let least = inside.map(|switch| switch.mtu).min();
    let least = least.filter(|mtu| *mtu < outside.mtu);
    least
        .map(|mtu| ("gateway_mtu".to_owned(), mtu.to_string()))
        .into_iter()
        .collect()
}

/// One translation for each subnet of IPv4 inside. IPv6 has addresses enough to go without.
fn snat(
    topology: &Topology,
    uid: &str,
    router: &Router,
    gateway: &Gateway,
    parts: &mut Parts,
    builder: &mut Builder,
) {
    let mut own = gateway.interface.addresses.iter().map(|(_, ip)| *ip);
    let Some(own) = own.find(IpAddr::is_ipv4) else {
        return;
    };
    for interface in &router.interfaces {
        let Some(switch) = topology.switches.get(&interface.switch) else {
            continue;
        };
        for (subnet_uid, _) in &interface.addresses {
            let Some(subnet) = switch.subnets.get(subnet_uid) else {
                continue;
            };
            if subnet.cidr.is_ipv6() {
                continue;
            }
            let key = format!("snat/{uid}/{subnet_uid}");
            parts.translations.insert(reference(key.as_str()));
            let row = Nat {
                kind: "snat".to_owned(),
                external_ip: own.to_string(),
                logical_ip: subnet.cidr.to_string(),
                ..Nat::default()
            };
            builder.add(Kind::Nat, key, &router.origin, Some(on_router(uid)), &row);
        }
    }
}

fn floating_row(
    uid: &str,
    floating_uid: &str,
    floating: &Floating,
    parts: &mut Parts,
    builder: &mut Builder,
) {
    let key = format!("floating/{floating_uid}");
    parts.translations.insert(reference(key.as_str()));
    let (logical_port, external_mac) = match &floating.distributed {
        Some((port, mac)) => (Some(port.clone()), Some(mac.to_string())),
        None => (None, None),
    };
    let row = Nat {
        kind: "dnat_and_snat".to_owned(),
        external_ip: floating.external.to_string(),
        logical_ip: floating.internal.to_string(),
        external_mac,
        logical_port,
        ..Nat::default()
    };
    builder.add(Kind::Nat, key, &floating.origin, Some(on_router(uid)), &row);
}
