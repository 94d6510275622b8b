//! Floating IPs beside the others: where each leads, and which router does it.

use std::{collections::BTreeMap, net::IpAddr};

use crate::api::{address::Mac, floating_ip::FloatingIP};

use super::{
    cloud::{called, full, home, leaving, name, uid},
    layout::{Net, Sub, family_of},
    ledger::{Demand, Role, Slot, Wish},
    plugs::{Plugs, Ways},
    problem::Problem,
    router::chassis::reaches,
    topology::{Balancer, Floating, Uid},
    world::{Seen, World},
};

/// What is found of a floating IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatingFinding {
    /// As of any object.
    pub seen: Seen,
    /// Why it can have no address.
    pub refused: Option<Problem>,
    /// What it lacks.
    pub demand: Demand,
    /// Whether its spec says where it shall lead.
    pub wanted: bool,
    /// The Port that it leads to.
    pub port: Option<String>,
    /// The address that it leads to.
    pub fixed: Option<IpAddr>,
    /// The Router that does it.
    pub router: Option<String>,
    /// The UID of the object whose rows say it: its own, or the load balancer's.
    pub row: Uid,
}

/// Where floating IPs lead: to addresses of ports, and of load balancers.
pub struct Targets<'b, 'a> {
    /// Ports.
    pub plugs: &'b Plugs<'a>,
    /// Routers.
    pub ways: &'b Ways<'a>,
    /// Load balancers, by UID.
    pub balancers: &'b mut BTreeMap<Uid, Balancer>,
    /// Who leads to an address of an object already.
    pub taken: BTreeMap<(Uid, IpAddr), String>,
}

/// An address inside that a floating IP may lead to.
struct Inside {
    /// The port, or load balancer.
    uid: Uid,
    called: String,
    port: Option<String>,
    subnet: Uid,
    ip: IpAddr,
    node: Option<String>,
}

/// Looks at a floating IP; what is made of it, with the UID of its router.
pub fn look<'a>(
    world: &mut World<'a>,
    targets: &mut Targets<'_, 'a>,
    floating: &'a FloatingIP,
) -> (FloatingFinding, Option<(Uid, Floating)>) {
    let spec = &floating.spec;
    let mut finding = FloatingFinding {
        seen: Seen::of("FloatingIP", floating),
        refused: None,
        demand: Demand::default(),
        wanted: spec.port.is_some() || spec.server.is_some() || spec.load_balancer.is_some(),
        port: None,
        fixed: None,
        router: None,
        row: uid(floating).to_owned(),
    };
    let external = match address(world, floating, &mut finding) {
        Ok(Some(external)) => external,
        Ok(None) => return (finding, None),
        Err(problem) => {
            finding.refused = Some(problem);
            return (finding, None);
        }
    };
    if !finding.wanted {
        return (finding, None);
    }
    match lead(world, targets, floating, external, &mut finding) {
        Ok(made) => {
            finding.seen.made = true;
            (finding, made)
        }
        Err(problem) => {
            finding.seen.problems.push(problem);
            (finding, None)
        }
    }
}

type External = (Uid, IpAddr);

/// The address outside, with the UID of its network.
fn address(
    world: &mut World<'_>,
    floating: &FloatingIP,
    finding: &mut FloatingFinding,
) -> Result<Option<External>, Problem> {
    let layout = &world.layout;
    let held = floating
        .status
        .as_ref()
        .and_then(|status| status.address.as_ref());
    let (namespace, named) = floating.spec.network.resolve(home(floating));
    let held_in = world
        .cloud
        .networks
        .get(namespace, named)
        .map(uid)
        .filter(|_| held.is_some());
    let net = layout.net(&floating.spec.network, home(floating), held_in)?;
    if held.is_none() && !net.object.spec.external {
        return Err(Problem::NotExternal(full(net.object)));
    }
    let Some(held) = held else {
        if !leaving(floating) {
            finding
                .demand
                .slots
                .push(slot(world, net, floating.spec.address)?);
        }
        return Ok(None);
    };
    let sub = layout.sub_of(net, held).ok_or_else(|| Problem::NoSubnet {
        subnet: held.subnet.clone(),
        network: full(net.object),
    })?;
    let owner = finding.seen.owner();
    world.ledger.claim(sub.uid, held.ip, &owner)?;
    world.users.note(sub.object, floating);
    world.users.note(net.object, floating);
    // Nobody else has it: it is made of this floating IP's own UID.
    let _ = world
        .ledger
        .claim_mac(net.uid, Mac::of(uid(floating)), &owner);
    Ok(Some((net.uid.to_owned(), held.ip)))
}

/// IPv4 first: whoever wants an address of IPv6 outside says which.
fn slot(world: &World<'_>, net: &Net<'_>, wish: Option<IpAddr>) -> Result<Slot, Problem> {
    let open = world.layout.subs_of(net).filter(|sub| !leaving(sub.object));
    let mut subs: Vec<&Sub<'_>> = open.collect();
    if subs.is_empty() {
        return Err(Problem::NoSubnetYet(full(net.object)));
    }
    if let Some(ip) = wish {
        let cidrs: Vec<_> = subs.iter().map(|sub| sub.cidr.to_string()).collect();
        subs.retain(|sub| sub.cidr.contains(ip));
        if subs.is_empty() {
            return Err(Problem::AddressNowhere {
                ip,
                network: full(net.object),
                subnets: cidrs.join(", "),
            });
        }
    } else {
        subs.sort_by_key(|sub| sub.cidr.is_ipv6());
        let first = subs.first().map(|sub| sub.cidr.is_ipv6());
        subs.retain(|sub| Some(sub.cidr.is_ipv6()) == first);
    }
    let choice = |sub: &&Sub<'_>| (sub.uid.to_owned(), name(sub.object).to_owned());
    Ok(Slot {
        role: Role::Own,
        choices: subs.iter().map(choice).collect(),
        wish: wish.map_or(Wish::Any, Wish::This),
    })
}

fn lead<'a>(
    world: &mut World<'a>,
    targets: &mut Targets<'_, 'a>,
    floating: &'a FloatingIP,
    (network, external): External,
    finding: &mut FloatingFinding,
) -> Result<Option<(Uid, Floating)>, Problem> {
    let candidates = inside(world, targets, floating, external)?;
    let joined = candidates.iter().find_map(|inside| {
        let router = targets.ways.out(&inside.subnet, &network)?;
        Some((inside, router))
    });
    let Some((inside, router)) = joined else {
        let net = world.layout.nets.get(network.as_str());
        let subnet = |inside: &Inside| {
            let sub = world.layout.subs.get(inside.subnet.as_str());
            let subnet = sub.map(|sub| full(sub.object)).unwrap_or_default();
            format!("subnet {subnet} of {}", inside.called)
        };
        return Err(Problem::NoRouter {
            target: candidates.first().map(subnet).unwrap_or_default(),
            network: net.map(|net| full(net.object)).unwrap_or_default(),
        });
    };
    let key = (inside.uid.clone(), inside.ip);
    if let Some(by) = targets.taken.get(&key) {
        return Err(Problem::TwoFloating {
            by: by.clone(),
            ip: inside.ip,
            target: inside.called.clone(),
        });
    }
    targets.taken.insert(key, full(floating));
    finding.port.clone_from(&inside.port);
    finding.fixed = Some(inside.ip);
    finding.router = targets.ways.name(router).map(str::to_owned);
    if let Some(object) = world.routers.get(router) {
        world.users.note(*object, floating);
    }
    if let Some(balancer) = targets.balancers.get_mut(&inside.uid) {
        balancer.floating = Some((router.to_owned(), external));
        finding.row.clone_from(&inside.uid);
        return Ok(None);
    }
    let net = world.layout.nets.get(network.as_str());
    let physical = net.and_then(|net| net.object.spec.provider.as_ref());
    let node = inside
        .node
        .as_ref()
        .and_then(|node| world.cloud.hypervisors.get("", node));
    let on_its_node = match (physical, node) {
        (Some(provider), Some(node)) => reaches(node, &provider.physical_network),
        _ => false,
    };
    let made = Floating {
        origin: finding.seen.origin.clone(),
        external,
        internal: inside.ip,
        distributed: on_its_node.then(|| (inside.uid.clone(), Mac::of(uid(floating)))),
    };
    Ok(Some((router.to_owned(), made)))
}

/// The addresses that it may lead to, the best first.
fn inside<'a>(
    world: &World<'a>,
    targets: &Targets<'_, 'a>,
    floating: &'a FloatingIP,
    external: IpAddr,
) -> Result<Vec<Inside>, Problem> {
    let (spec, own) = (&floating.spec, home(floating));
    let absent = |kind, name: &String| Problem::NoTarget {
        kind,
        name: name.clone(),
    };
    let family = family_of(external);
    if let Some(name) = &spec.load_balancer {
        let balancer = world.cloud.balancers.get(own, name);
        let balancer = balancer.ok_or_else(|| absent("load balancer", name))?;
        let target = called(balancer);
        let made = targets.balancers.get(uid(balancer));
        let made = made.filter(|made| family_of(made.address) == family);
        let made = made.ok_or(Problem::TargetWithoutAddress { target })?;
        return Ok(vec![Inside {
            uid: uid(balancer).to_owned(),
            called: called(balancer),
            port: None,
            subnet: made.subnet.clone(),
            ip: made.address,
            node: None,
        }]);
    }
    let (plugs, target) = if let Some(name) = &spec.server {
        let server = world.cloud.servers.get(own, name);
        let server = server.ok_or_else(|| absent("server", name))?;
        (targets.plugs.of(server), called(server))
    } else if let Some(name) = &spec.port {
        let port = world.cloud.ports.get(own, name);
        let port = port.ok_or_else(|| absent("port", name))?;
        (
            targets.plugs.get(own, name).into_iter().collect(),
            called(port),
        )
    } else {
        return Ok(Vec::new());
    };
    if plugs.iter().all(|plug| plug.addresses.is_empty()) {
        return Err(match &spec.server {
            Some(name) => Problem::ServerWithoutPort(format!("{own}/{name}")),
            None => Problem::TargetWithoutAddress { target },
        });
    }
    let mut found = Vec::new();
    for plug in plugs {
        for (subnet, ip) in &plug.addresses {
            let is_it = spec.fixed_address.is_none_or(|fixed| fixed == *ip);
            if family_of(*ip) == family && is_it {
                found.push(Inside {
                    uid: uid(plug.object).to_owned(),
                    called: plug.called(),
                    port: Some(name(plug.object).to_owned()),
                    subnet: subnet.clone(),
                    ip: *ip,
                    node: plug.node.clone(),
                });
            }
        }
    }
    match (found.is_empty(), spec.fixed_address) {
        (false, _) => Ok(found),
        (true, Some(ip)) => Err(Problem::NotItsAddress { port: target, ip }),
        (true, None) => Err(Problem::NoAddressOfFamily {
            port: target,
            family,
        }),
    }
}
