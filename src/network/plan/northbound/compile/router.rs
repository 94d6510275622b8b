//! Routers, their ports in networks, and their routes. The way outside is [`gateway`](super::gateway)'s.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::api::address::Cidr;
use crate::api::subnet::Ipv6Mode;
use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::{Interface, Origin, Router, Switch, Topology};
use crate::ovsdb::Reference;
use crate::ovsdb::northbound::{
    LogicalRouter, LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitchPort, Texts,
};

use super::{Notes, gateway, key, on_router, on_switch, with_length};

/// All routers.
pub fn rows(topology: &Topology, notes: &mut Notes, builder: &mut Builder) {
    for (uid, router) in &topology.routers {
        let mut parts = Parts::default();
        for interface in &router.interfaces {
            interface_rows(topology, uid, router, interface, &mut parts, notes, builder);
        }
        gateway::rows(topology, uid, router, &mut parts, notes, builder);
        for (to, by) in &router.routes {
            static_route(uid, router, (to, *by), &mut parts, builder);
        }
        let row = LogicalRouter {
            name: format!("router-{uid}"),
            ports: parts.ports,
            static_routes: parts.routes,
            nat: parts.translations,
            load_balancer: notes.router_balancers.remove(uid).unwrap_or_default(),
            enabled: (!router.enabled).then_some(false),
            options: quiet(),
            ..LogicalRouter::default()
        };
        builder.add(Kind::Router, key::router(uid), &router.origin, None, &row);
    }
}

/// What a router is made of.
#[derive(Default)]
pub struct Parts {
    pub ports: BTreeSet<Reference>,
    pub routes: BTreeSet<Reference>,
    pub translations: BTreeSet<Reference>,
}

/// Routers ask for a neighbour's address when they need it, instead of knowing all of each other's beforehand, and learn
/// nothing from what others ask: so a router more costs the other ones of an external network nothing.
pub fn quiet() -> Texts {
    Texts::from([
        (
            "always_learn_from_arp_request".to_owned(),
            "false".to_owned(),
        ),
        ("dynamic_neigh_routers".to_owned(), "true".to_owned()),
    ])
}

/// A router's port, and the port of the network that it is plugged into.
fn interface_rows(
    topology: &Topology,
    uid: &str,
    router: &Router,
    interface: &Interface,
    parts: &mut Parts,
    notes: &mut Notes,
    builder: &mut Builder,
) {
    let Some(switch) = topology.switches.get(&interface.switch) else {
        return;
    };
    // The database would take a port without an address, and northd would not know what to do with it.
    let networks = networks(switch, interface);
    if networks.is_empty() {
        return;
    }
    let place = format!("{uid}-{}", interface.switch);
    let key = format!("interface/{place}");
    parts.ports.insert(reference(key.as_str()));
    let row = LogicalRouterPort {
        name: format!("interface-{place}"),
        networks,
        mac: interface.mac.to_string(),
        ipv6_ra_configs: advertisements(switch, interface),
        ..LogicalRouterPort::default()
    };
    plug(
        &place,
        &row.name,
        &interface.switch,
        &router.origin,
        Texts::new(),
        notes,
        builder,
    );
    builder.add(
        Kind::RouterPort,
        key,
        &router.origin,
        Some(on_router(uid)),
        &row,
    );
}

/// The port of a network that a router's port is plugged into.
pub fn plug(
    place: &str,
    router_port: &str,
    switch: &str,
    origin: &Origin,
    mut options: Texts,
    notes: &mut Notes,
    builder: &mut Builder,
) {
    let key = format!("plug/{place}");
    notes.on(switch).ports.insert(reference(key.as_str()));
    options.insert("router-port".to_owned(), router_port.to_owned());
    let row = LogicalSwitchPort {
        name: format!("plug-{place}"),
        kind: "router".to_owned(),
        addresses: BTreeSet::from(["router".to_owned()]),
        options,
        ..LogicalSwitchPort::default()
    };
    builder.add(Kind::SwitchPort, key, origin, Some(on_switch(switch)), &row);
}

/// The addresses of a router's port.
pub fn networks(switch: &Switch, interface: &Interface) -> BTreeSet<String> {
    let addresses = interface.addresses.iter();
    addresses
        .filter_map(|(subnet, ip)| with_length(switch, subnet, *ip))
        .collect()
}

/// What a network's guests are told by router advertisements: those are of a port, not of a subnet, so the mode is the one
/// of its subnets that needs most.
fn advertisements(switch: &Switch, interface: &Interface) -> Texts {
    let subnets = interface.addresses.iter();
    let subnets = subnets.filter_map(|(uid, _)| switch.subnets.get(uid));
    let told: Vec<_> = subnets
        .filter(|subnet| subnet.dhcp && subnet.cidr.is_ipv6())
        .collect();
    if told.is_empty() {
        return Texts::new();
    }
    let has = |mode| told.iter().any(|subnet| subnet.ipv6_mode == mode);
    let mode = if has(Ipv6Mode::DhcpStateful) {
        "dhcpv6_stateful"
    } else if has(Ipv6Mode::DhcpStateless) {
        "dhcpv6_stateless"
    } else {
        "slaac"
    };
    let mut configs = Texts::from([
        ("address_mode".to_owned(), mode.to_owned()),
        ("send_periodic".to_owned(), "true".to_owned()),
        ("mtu".to_owned(), switch.mtu.to_string()),
    ]);
    // OVN tells of one server only.
    let mut servers = told.iter().flat_map(|subnet| &subnet.dns);
    if let Some(server) = servers.find(|ip| ip.is_ipv6()) {
        configs.insert("rdnss".to_owned(), server.to_string());
    }
    configs
}

fn static_route(
    uid: &str,
    router: &Router,
    (to, by): (&Cidr, IpAddr),
    parts: &mut Parts,
    builder: &mut Builder,
) {
    let key = format!("route/{uid}/{to}/{by}");
    let row = LogicalRouterStaticRoute {
        ip_prefix: to.to_string(),
        nexthop: by.to_string(),
        ..LogicalRouterStaticRoute::default()
    };
    parts.routes.insert(reference(key.as_str()));
    builder.add(Kind::Route, key, &router.origin, Some(on_router(uid)), &row);
}

/// The networks that are joined with each network: those that a router of it is in, too.
pub fn joined<'a>(topology: &'a Topology, switch: &str) -> BTreeMap<&'a str, &'a Switch> {
    let routers = topology.routers.values().filter(|router| {
        let mut interfaces = router.interfaces.iter();
        interfaces.any(|interface| interface.switch == switch)
    });
    let interfaces = routers.flat_map(|router| &router.interfaces);
    let others = interfaces.filter_map(|interface| {
        let found = topology.switches.get_key_value(&interface.switch);
        found.map(|(uid, switch)| (uid.as_str(), switch))
    });
    let own = topology.switches.get_key_value(switch);
    let own = own.map(|(uid, switch)| (uid.as_str(), switch));
    others.chain(own).collect()
}
