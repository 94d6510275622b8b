//! Load balancers.
//!
//! A connection gets its member in the switch that its client is on, so the balancer is on its own network's switch and on
//! those that a router joins with it. Somebody has to answer ARP for its address, and to take the frames, which go to that
//! somebody's hardware address and then to the member's: OVN does neither by itself on a switch without a router, and where
//! there are several routers, each of them would answer. So each balancer has a small router of its own in its network,
//! whose address the balancer's address is, and no other router answers for it.
//!
//! Its floating IP is a second balancer with the same members, which the router that has the address carries, too.
//!
//! Members of IPv6 are not watched: OVN before 24.03 cannot do it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::api::load_balancer::ListenerProtocol;
use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::{Balancer, Health, Listener, Topology};
use crate::ovsdb::Reference;
use crate::ovsdb::northbound::{
    LoadBalancer, LoadBalancerHealthCheck, LogicalRouter, LogicalRouterPort,
    LogicalRouterStaticRoute, Texts,
};

use super::router::{joined, plug, quiet};
use super::{Notes, everywhere, key, on_router, with_length, with_port};

/// All balancers.
pub fn rows(topology: &Topology, notes: &mut Notes, builder: &mut Builder) {
    for (uid, balancer) in &topology.balancers {
        if !topology.switches.contains_key(&balancer.switch) {
            continue;
        }
        doorman(topology, uid, balancer, notes, builder);
        let mut own = translations(uid, balancer, &Face::inside(balancer), builder);
        if let Some((router, address)) = &balancer.floating {
            let floating = translations(uid, balancer, &Face::outside(*address), builder);
            let on_router = notes.router_balancers.entry(router.clone()).or_default();
            on_router.extend(floating.iter().cloned());
            own.extend(floating);
        }
        for switch in joined(topology, &balancer.switch).keys() {
            notes.on(switch).balancers.extend(own.iter().cloned());
        }
    }
}

/// The router that has the balancer's address, answers for it, and sends on what was sent to it.
fn doorman(
    topology: &Topology,
    uid: &str,
    balancer: &Balancer,
    notes: &mut Notes,
    builder: &mut Builder,
) {
    let Some(switch) = topology.switches.get(&balancer.switch) else {
        return;
    };
    let place = format!("balancer-{uid}");
    let origin = &balancer.origin;
    let port = LogicalRouterPort {
        name: place.clone(),
        networks: with_length(switch, &balancer.subnet, balancer.address)
            .into_iter()
            .collect(),
        mac: balancer.mac.to_string(),
        ..LogicalRouterPort::default()
    };
    let port_key = format!("balancer-port/{uid}");
    let mut routes = BTreeSet::new();
    let subnet = switch.subnets.get(&balancer.subnet);
    // Members may be in other subnets.
    if let Some(hop) = subnet.and_then(|subnet| subnet.gateway) {
        let key = format!("balancer-route/{uid}");
        let row = LogicalRouterStaticRoute {
            ip_prefix: everywhere(hop).to_owned(),
            nexthop: hop.to_string(),
            output_port: Some(place.clone()),
            ..LogicalRouterStaticRoute::default()
        };
        routes.insert(reference(key.as_str()));
        builder.add(Kind::Route, key, origin, Some(on_router(uid)), &row);
    }
    let row = LogicalRouter {
        name: place.clone(),
        ports: BTreeSet::from([reference(port_key.as_str())]),
        static_routes: routes,
        options: quiet(),
        ..LogicalRouter::default()
    };
    plug(
        &place,
        &place,
        &balancer.switch,
        origin,
        Texts::new(),
        notes,
        builder,
    );
    builder.add(
        Kind::RouterPort,
        port_key,
        origin,
        Some(on_router(uid)),
        &port,
    );
    builder.add(Kind::Router, key::router(uid), origin, None, &row);
}

/// One of the addresses that a balancer has.
struct Face {
    /// What it is called in keys.
    name: &'static str,
    address: IpAddr,
    options: Texts,
}

impl Face {
    fn inside(balancer: &Balancer) -> Self {
        let mut face = Self::outside(balancer.address);
        // The doorman answers.
        face.options
            .insert("neighbor_responder".to_owned(), "none".to_owned());
        face.name = "inside";
        face
    }

    /// Who connects while no member lives is refused at once.
    fn outside(address: IpAddr) -> Self {
        Self {
            name: "outside",
            address,
            options: Texts::from([("reject".to_owned(), "true".to_owned())]),
        }
    }
}

/// One row for each protocol and way of choosing, since those are of a row and not of a listener.
fn translations(
    uid: &str,
    balancer: &Balancer,
    face: &Face,
    builder: &mut Builder,
) -> BTreeSet<Reference> {
    let mut groups: BTreeMap<(&str, bool), Vec<&Listener>> = BTreeMap::new();
    for listener in &balancer.listeners {
        let protocol = match listener.protocol {
            ListenerProtocol::Tcp => "tcp",
            ListenerProtocol::Udp => "udp",
        };
        let group = groups.entry((protocol, listener.sticky)).or_default();
        group.push(listener);
    }
    let mut references = BTreeSet::new();
    for ((protocol, sticky), listeners) in groups {
        let choice = if sticky { "source" } else { "hash" };
        let place = format!("{uid}/{}/{protocol}/{choice}", face.name);
        let key = format!("balancer/{place}");
        let fields = ["ip_src", "ip_dst"].map(str::to_owned);
        let mut row = LoadBalancer {
            name: format!("balancer-{}", place.replace('/', "-")),
            protocol: Some(protocol.to_owned()),
            selection_fields: if sticky {
                fields.into()
            } else {
                BTreeSet::new()
            },
            options: face.options.clone(),
            ..LoadBalancer::default()
        };
        for listener in listeners {
            let vip = with_port(face.address, listener.port);
            watch(balancer, listener, (&key, &vip), &mut row, builder);
            let members = listener.members.iter();
            let members: Vec<String> = members
                .map(|member| with_port(member.address, member.port))
                .collect();
            row.vips.insert(vip, members.join(","));
        }
        references.insert(reference(key.as_str()));
        builder.add(Kind::Balancer, key, &balancer.origin, None, &row);
    }
    references
}

/// How a listener's members are watched, and from which addresses. One without a home is taken to live.
fn watch(
    balancer: &Balancer,
    listener: &Listener,
    (parent, vip): (&str, &str),
    row: &mut LoadBalancer,
    builder: &mut Builder,
) {
    let Some(health) = listener.health.filter(|_| balancer.address.is_ipv4()) else {
        return;
    };
    for member in &listener.members {
        if let (IpAddr::V4(ip), Some((port, _, from))) = (member.address, &member.home) {
            row.ip_port_mappings
                .insert(ip.to_string(), format!("{port}:{from}"));
        }
    }
    let key = format!("health/{parent}/{vip}");
    row.health_check.insert(reference(key.as_str()));
    let check = LoadBalancerHealthCheck {
        vip: vip.to_owned(),
        options: options(health),
        ..LoadBalancerHealthCheck::default()
    };
    let parent = Some((Kind::Balancer, parent.into()));
    builder.add(Kind::HealthCheck, key, &balancer.origin, parent, &check);
}

fn options(health: Health) -> Texts {
    Texts::from([
        ("interval".to_owned(), health.interval.to_string()),
        ("timeout".to_owned(), health.timeout.to_string()),
        ("success_count".to_owned(), health.rise.to_string()),
        ("failure_count".to_owned(), health.fall.to_string()),
    ])
}
