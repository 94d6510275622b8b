//! Routers beside the others: where each is, how it leads out, and which addresses it lacks. Routes are looked at when all
//! routers are known: see [`circles`].

use std::net::IpAddr;

use crate::api::{
    address::{Cidr, Mac},
    port::PortAddress,
    router::{Router, RouterInterface},
    security_group::Family,
    subnet::Route,
};

use super::{
    cloud::{full, home, leaving, name, uid},
    layout::{Net, Sub, family_of},
    ledger::{Demand, Role, Slot, Wish},
    problem::Problem,
    topology::{Gateway, Interface, Uid},
    world::{Seen, World},
};

pub mod chassis;
pub mod circles;

/// What is found of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterFinding {
    /// As of any object.
    pub seen: Seen,
    /// The network that it leads out to.
    pub gateway: Option<Uid>,
    /// The nodes that its gateway may be on, the preferred first.
    pub candidates: Vec<String>,
    /// The node that its gateway is on, as far as anybody knows.
    pub node: Option<String>,
    /// The addresses that it has outside and of which something is made.
    pub outside: Vec<PortAddress>,
    /// The addresses that it has inside and of which something is made.
    pub inside: Vec<PortAddress>,
    /// The routes that hold.
    pub routes: Vec<Route>,
    /// What it lacks.
    pub demand: Demand,
}

/// A router on the way to being made.
pub struct Draft<'a> {
    /// The object.
    pub object: &'a Router,
    /// What is found of it.
    pub finding: RouterFinding,
    /// Where it is.
    pub interfaces: Vec<Interface>,
    /// How it leads out.
    pub gateway: Option<Gateway>,
    /// The prefixes that it has, each with the UID of its network and whose it is.
    pub connected: Vec<(Cidr, Uid, String)>,
}

/// Looks at a router, but for its routes.
pub fn look<'a>(world: &mut World<'a>, router: &'a Router) -> Draft<'a> {
    let finding = RouterFinding {
        seen: Seen::of("Router", router),
        gateway: None,
        candidates: Vec::new(),
        node: None,
        outside: Vec::new(),
        inside: Vec::new(),
        routes: Vec::new(),
        demand: Demand::default(),
    };
    let mut draft = Draft {
        object: router,
        finding,
        interfaces: Vec::new(),
        gateway: None,
        connected: Vec::new(),
    };
    outside(world, &mut draft);
    for interface in &router.spec.interfaces {
        if let Err(problem) = inside(world, &mut draft, interface) {
            draft.finding.seen.problems.push(problem);
        }
    }
    draft.finding.seen.made = true;
    if leaving(router) {
        draft.finding.demand = Demand::default();
    }
    draft
}

fn mac(router: &Router, network: &str) -> Mac {
    Mac::of(&format!("{} {network}", uid(router)))
}

/// The way out. Who asks for a network that is not there keeps the way that he had.
fn outside(world: &mut World<'_>, draft: &mut Draft<'_>) {
    let router = draft.object;
    let Some(wanted) = &router.spec.external_gateway else {
        return;
    };
    let held = router
        .status
        .as_ref()
        .and_then(|status| status.gateway.as_ref());
    let holds = held.map(|held| held.network.as_str());
    let World { layout, .. } = world;
    let (namespace, name) = wanted.network.resolve(home(router));
    let named = layout.cloud.networks.get(namespace, name).map(uid);
    let found = layout.net(
        &wanted.network,
        home(router),
        holds.filter(|held| named == Some(*held)),
    );
    let found = found.and_then(|net| {
        if net.object.spec.external {
            Ok(net)
        } else {
            Err(Problem::NotExternal(full(net.object)))
        }
    });
    let net = match found {
        Ok(net) => net,
        Err(problem) => {
            draft.finding.seen.problems.push(problem);
            match holds.and_then(|held| layout.nets.get(held)) {
                Some(net) if net.problem.is_none() => net,
                _ => return,
            }
        }
    };
    world.users.note(net.object, router);
    draft.finding.gateway = Some(net.uid.to_owned());
    let held = held.filter(|held| held.network == net.uid);
    let owner = draft.finding.seen.owner();
    let mut addresses: Vec<(&Sub<'_>, IpAddr)> = Vec::new();
    for address in held.iter().flat_map(|held| &held.addresses) {
        let Some(sub) = layout.sub_of(net, address) else {
            continue;
        };
        match world.ledger.claim(sub.uid, address.ip, &owner) {
            Ok(()) => {
                world.users.note(sub.object, router);
                addresses.push((sub, address.ip));
                draft.finding.outside.push(address.clone());
            }
            Err(problem) => draft.finding.seen.problems.push(problem),
        }
    }
    let slots = outside_slots(layout, net, wanted.address, &addresses);
    draft.finding.demand.slots.extend(slots);
    if addresses.is_empty() && draft.finding.demand.slots.is_empty() {
        let problem = Problem::NoSubnetYet(full(net.object));
        draft.finding.seen.problems.push(problem);
    }
    draft.finding.node = match &world.cloud.sightings {
        Some(seen) => seen.gateways.get(uid(router)).cloned(),
        None => held.and_then(|held| held.node.clone()),
    };
    // An external network has one: its schema sees to it.
    if let Some(provider) = &net.object.spec.provider {
        let physical = &provider.physical_network;
        let candidates = chassis::candidates(world.cloud, router, physical);
        let problem = chassis::problem(world.cloud, &candidates, physical);
        draft.finding.seen.problems.extend(problem);
        draft.finding.candidates = candidates;
    }
    if addresses.is_empty() {
        return;
    }
    let mac = mac(router, net.uid);
    // Nobody else has it: it is made of this router's own UID.
    let _ = world.ledger.claim_mac(net.uid, mac, &owner);
    let ways = addresses
        .iter()
        .filter_map(|(sub, own)| sub.gateway.filter(|way| way != own));
    draft.gateway = Some(Gateway {
        interface: Interface {
            switch: net.uid.to_owned(),
            mac,
            addresses: addresses
                .iter()
                .map(|(sub, ip)| (sub.uid.to_owned(), *ip))
                .collect(),
        },
        snat: wanted.snat,
        next_hops: ways.collect(),
        chassis: chassis::priorities(&draft.finding.candidates),
    });
    for (sub, _) in addresses {
        draft
            .connected
            .push((sub.cidr, net.uid.to_owned(), full(sub.object)));
    }
}

/// One address of each family, and the one that is wished for in place of another.
fn outside_slots(
    layout: &super::layout::Layout<'_>,
    net: &Net<'_>,
    wish: Option<IpAddr>,
    held: &[(&Sub<'_>, IpAddr)],
) -> Vec<Slot> {
    let slot = |family: Family| {
        let wish = wish.filter(|wish| family_of(*wish) == family);
        let has = |(sub, ip): &(&Sub<'_>, IpAddr)| {
            sub.family() == family && wish.is_none_or(|wish| wish == *ip)
        };
        if held.iter().any(has) {
            return None;
        }
        let subs = layout.subs_of(net).filter(|sub| {
            sub.family() == family
                && !leaving(sub.object)
                && wish.is_none_or(|wish| sub.cidr.contains(wish))
        });
        let choices: Vec<_> = subs
            .map(|sub| (sub.uid.to_owned(), name(sub.object).to_owned()))
            .collect();
        (!choices.is_empty()).then(|| Slot {
            role: Role::Gateway,
            choices,
            wish: wish.map_or(Wish::Any, Wish::This),
        })
    };
    [Family::Ipv4, Family::Ipv6]
        .into_iter()
        .filter_map(slot)
        .collect()
}

/// One interface. Who asks for an address that he cannot have keeps the one that he had.
fn inside(
    world: &mut World<'_>,
    draft: &mut Draft<'_>,
    wanted: &RouterInterface,
) -> Result<(), Problem> {
    let router = draft.object;
    let label = wanted.subnet.to_string();
    let held = router.status.iter().flat_map(|status| &status.interfaces);
    let held = held
        .clone()
        .find(|held| held.subnet == label)
        .map(|held| held.ip);
    let sub = world
        .layout
        .sub(&wanted.subnet, home(router), held.is_some())?;
    let subnet = || full(sub.object);
    let Some(net) = world.layout.net_of(sub) else {
        return Err(Problem::NoRouterSubnet(label));
    };
    if draft.finding.gateway.as_deref() == Some(net.uid) {
        let network = full(net.object);
        let subnet = subnet();
        return Err(Problem::InterfaceOutside { subnet, network });
    }
    let clash = draft
        .connected
        .iter()
        .find(|(cidr, ..)| cidr.overlaps(&sub.cidr));
    if let Some((other_cidr, _, other)) = clash {
        let (subnet, cidr) = (subnet(), sub.cidr);
        if *other == subnet {
            return Err(Problem::SubnetTwice(subnet));
        }
        return Err(Problem::RouterOverlap {
            subnet,
            cidr,
            other: other.clone(),
            other_cidr: *other_cidr,
        });
    }
    let address = wanted.address.or(sub.gateway);
    let address = address.ok_or_else(|| Problem::NoInterfaceAddress(subnet()))?;
    let foreign = home(sub.object) != home(router) && sub.gateway == Some(address);
    if foreign && held != Some(address) {
        let (subnet, gateway) = (subnet(), address);
        return Err(Problem::ForeignGateway { subnet, gateway });
    }
    if held != Some(address) {
        draft.finding.demand.slots.push(Slot {
            role: Role::Interface,
            choices: vec![(sub.uid.to_owned(), label.clone())],
            wish: Wish::Router(address),
        });
    }
    let Some(ip) = held else {
        return Ok(());
    };
    let owner = draft.finding.seen.owner();
    world.ledger.claim(sub.uid, ip, &owner)?;
    world.users.note(sub.object, router);
    world.users.note(net.object, router);
    draft
        .connected
        .push((sub.cidr, net.uid.to_owned(), subnet()));
    draft.finding.inside.push(PortAddress { subnet: label, ip });
    let address = (sub.uid.to_owned(), ip);
    let here = draft
        .interfaces
        .iter_mut()
        .find(|interface| interface.switch == net.uid);
    if let Some(interface) = here {
        interface.addresses.push(address);
        return Ok(());
    }
    let mac = mac(router, net.uid);
    // Nobody else has it: it is made of this router's own UID.
    let _ = world.ledger.claim_mac(net.uid, mac, &owner);
    draft.interfaces.push(Interface {
        switch: net.uid.to_owned(),
        mac,
        addresses: vec![address],
    });
    Ok(())
}
