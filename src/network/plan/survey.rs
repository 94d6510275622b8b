//! The whole cloud's networks, looked at once: what is to be made, what is found of each object, and who has which address.
//!
//! Bad input changes nothing else: what makes no sense is left out and named in what is found of its object; the rest is
//! made. Equal objects make an equal survey.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{condition, floating_ip::FloatingIP, subnet::Route};

use super::{
    balancer::{self, BalancerFinding},
    cloud::{Cloud, age, uid},
    floating::{self, FloatingFinding, Targets},
    group::{self, GroupFinding},
    layout::Layout,
    ledger::{Demand, Ledger},
    plugs::{Plugs, Ways},
    port::{self, PortFinding},
    router::{self, Draft, RouterFinding, circles},
    topology::{self, Router, Switch, Topology, Uid},
    world::{Seen, World},
};

/// What is found of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFinding {
    /// As of any object.
    pub seen: Seen,
    /// The largest packet.
    pub mtu: u16,
    /// Its subnets, by name.
    pub subnets: Vec<String>,
    /// How many ports are on it.
    pub ports: u32,
}

/// What is found of a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetFinding {
    /// As of any object.
    pub seen: Seen,
    /// Whether it is made at all.
    pub accepted: bool,
    /// The way out.
    pub gateway: Option<std::net::IpAddr>,
    /// How many addresses are free.
    pub free: u128,
}

/// What is found of every object, by UID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Networks.
    pub networks: BTreeMap<Uid, NetworkFinding>,
    /// Subnets.
    pub subnets: BTreeMap<Uid, SubnetFinding>,
    /// Ports.
    pub ports: BTreeMap<Uid, PortFinding>,
    /// Routers.
    pub routers: BTreeMap<Uid, RouterFinding>,
    /// Security groups.
    pub groups: BTreeMap<Uid, GroupFinding>,
    /// Floating IPs.
    pub floating: BTreeMap<Uid, FloatingFinding>,
    /// Load balancers.
    pub balancers: BTreeMap<Uid, BalancerFinding>,
}

impl Findings {
    /// The ports that lack something, in the order in which they are to be given it: whoever takes any address must not be
    /// given the one that another wishes for.
    pub fn lacking(&self) -> Vec<(&Seen, &Demand)> {
        let ports = self.ports.values();
        let lacking = ports.filter_map(|finding| Some((&finding.seen, finding.lacks()?)));
        let mut lacking: Vec<_> = lacking.collect();
        lacking.sort_by_key(|(_, demand)| !demand.is_particular());
        lacking
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Survey {
    /// What is to be made.
    pub topology: Topology,
    /// What is found.
    pub findings: Findings,
    /// Who has which address.
    pub ledger: Ledger,
}

/// Looks at the whole cloud.
pub fn survey(cloud: &Cloud) -> Survey {
    let mut world = World::of(cloud);
    let mut findings = Findings::default();
    let mut topology = Topology {
        switches: switches(&world.layout),
        ..Topology::default()
    };
    let routers: Vec<_> = cloud.routers.iter().collect();
    let mut drafts: Vec<Draft<'_>> = routers
        .into_iter()
        .map(|router| router::look(&mut world, router))
        .collect();
    circles::decide(&mut drafts);
    let ways = Ways::of(&drafts);
    let plugs = ports(&mut world, &mut findings, &mut topology);
    groups(&mut world, &mut findings, &mut topology);
    for object in cloud.balancers.iter() {
        let (finding, made) = balancer::look(&mut world, &plugs, &ways, object);
        findings.balancers.insert(uid(object).to_owned(), finding);
        topology
            .balancers
            .extend(made.map(|made| (uid(object).to_owned(), made)));
    }
    for draft in drafts {
        let (uid, finding, made) = finish(draft);
        findings.routers.insert(uid.clone(), finding);
        topology.routers.insert(uid, made);
    }
    let mut targets = Targets {
        plugs: &plugs,
        ways: &ways,
        balancers: &mut topology.balancers,
        taken: BTreeMap::new(),
    };
    let mut all: Vec<&FloatingIP> = cloud.floating.iter().collect();
    // One that leads somewhere goes on doing so, whoever else wants to.
    all.sort_by_key(|object| (!leads(object), age(*object)));
    for object in all {
        let (finding, made) = floating::look(&mut world, &mut targets, object);
        findings.floating.insert(uid(object).to_owned(), finding);
        if let Some((router, made)) = made
            && let Some(router) = topology.routers.get_mut(&router)
        {
            router.floating.insert(uid(object).to_owned(), made);
        }
    }
    places(&mut world, &mut findings);
    users(&mut world, &mut findings);
    Survey {
        topology,
        findings,
        ledger: world.ledger,
    }
}

fn leads(floating: &FloatingIP) -> bool {
    let status = floating.status.as_ref();
    status.is_some_and(|status| {
        status.router.is_some() && condition::find(&status.conditions, "Ready").is_some()
    })
}

fn switches(layout: &Layout<'_>) -> BTreeMap<Uid, Switch> {
    let accepted = layout.nets.values().filter(|net| net.problem.is_none());
    let switch = |net: &super::layout::Net<'_>| Switch {
        origin: super::cloud::origin("Network", net.object),
        mtu: net.mtu,
        provider: net.object.spec.provider.clone(),
        subnets: layout
            .subs_of(net)
            .map(|sub| (sub.uid.to_owned(), subnet(sub)))
            .collect(),
        ports: BTreeMap::new(),
    };
    accepted
        .map(|net| (net.uid.to_owned(), switch(net)))
        .collect()
}

fn subnet(sub: &super::layout::Sub<'_>) -> topology::Subnet {
    let spec = &sub.object.spec;
    let told = |route: &&Route| sub.cidr.contains(route.via);
    let dns = spec
        .dns
        .iter()
        .filter(|dns| dns.is_ipv6() == sub.cidr.is_ipv6());
    topology::Subnet {
        origin: super::cloud::origin("Subnet", sub.object),
        cidr: sub.cidr,
        gateway: sub.gateway,
        dhcp: spec.dhcp,
        ipv6_mode: spec.ipv6_mode.unwrap_or_default(),
        dns: dns.copied().collect(),
        routes: spec
            .routes
            .iter()
            .filter(told)
            .map(|route| (route.to, route.via))
            .collect(),
    }
}

fn ports<'a>(world: &mut World<'a>, findings: &mut Findings, topology: &mut Topology) -> Plugs<'a> {
    let mut plugs = Plugs::default();
    // Names that a network knows already: whoever is older keeps his.
    let mut names: BTreeSet<(Uid, String)> = BTreeSet::new();
    let cloud = world.cloud;
    // Whatever is in somebody's status is his, whatever was given away meanwhile.
    let (written, given): (Vec<_>, Vec<_>) = cloud
        .ports
        .iter()
        .partition(|object| !cloud.given.contains_key(uid(*object)));
    for object in written.into_iter().chain(given) {
        let (finding, plugged) = port::look(world, object);
        if let Some((network, mut port)) = plugged {
            let mut own = |name: &String| names.insert((network.clone(), name.clone()));
            port.names.retain(|name| own(name));
            let plugged = (network, port);
            plugs.add(object, &finding, &plugged);
            let (network, port) = plugged;
            if let Some(switch) = topology.switches.get_mut(&network) {
                switch.ports.insert(uid(object).to_owned(), port);
            }
        }
        findings.ports.insert(uid(object).to_owned(), finding);
    }
    plugs
}

fn groups(world: &mut World<'_>, findings: &mut Findings, topology: &mut Topology) {
    let cloud = world.cloud;
    for object in cloud.groups.iter() {
        let (finding, made) = group::look(world, object);
        findings.groups.insert(uid(object).to_owned(), finding);
        topology.groups.insert(uid(object).to_owned(), made);
    }
    let having = topology
        .switches
        .values()
        .flat_map(|switch| switch.ports.values());
    for group in having.flat_map(|port| &port.groups) {
        if let Some(finding) = findings.groups.get_mut(group) {
            finding.ports += 1;
        }
    }
}

fn finish(draft: Draft<'_>) -> (Uid, RouterFinding, Router) {
    let routes = draft.finding.routes.iter();
    let made = Router {
        origin: draft.finding.seen.origin.clone(),
        enabled: draft.object.spec.enabled,
        interfaces: draft.interfaces,
        gateway: draft.gateway,
        routes: routes.map(|route| (route.to, route.via)).collect(),
        floating: BTreeMap::new(),
    };
    (uid(draft.object).to_owned(), draft.finding, made)
}

fn places(world: &mut World<'_>, findings: &mut Findings) {
    let mut ports: BTreeMap<&str, u32> = BTreeMap::new();
    for network in findings
        .ports
        .values()
        .filter_map(|finding| finding.network.as_deref())
    {
        *ports.entry(network).or_default() += 1;
    }
    for net in world.layout.nets.values() {
        let mut seen = Seen::of("Network", net.object);
        seen.made = net.problem.is_none();
        seen.problems.extend(net.problem.clone());
        let finding = NetworkFinding {
            seen,
            mtu: net.mtu,
            subnets: net.names.iter().map(|name| (*name).to_owned()).collect(),
            ports: ports.get(net.uid).copied().unwrap_or_default(),
        };
        findings.networks.insert(net.uid.to_owned(), finding);
    }
    for sub in world.layout.subs.values() {
        if let Some(net) = world.layout.net_of(sub) {
            world.users.note(net.object, sub.object);
        }
        let mut seen = Seen::of("Subnet", sub.object);
        seen.made = sub.accepted;
        seen.problems.clone_from(&sub.problems);
        let book = world.ledger.book(sub.uid);
        let finding = SubnetFinding {
            seen,
            accepted: sub.accepted,
            gateway: sub.gateway,
            free: book.map_or(0, super::ledger::Book::free),
        };
        findings.subnets.insert(sub.uid.to_owned(), finding);
    }
}

fn users(world: &mut World<'_>, findings: &mut Findings) {
    let Findings {
        networks,
        subnets,
        ports,
        routers,
        groups,
        floating: _,
        balancers: _,
    } = findings;
    let networks = networks.values_mut().map(|finding| &mut finding.seen);
    let subnets = subnets.values_mut().map(|finding| &mut finding.seen);
    let ports = ports.values_mut().map(|finding| &mut finding.seen);
    let routers = routers.values_mut().map(|finding| &mut finding.seen);
    let groups = groups.values_mut().map(|finding| &mut finding.seen);
    let all = networks
        .chain(subnets)
        .chain(ports)
        .chain(routers)
        .chain(groups);
    for seen in all.filter(|seen| seen.leaving) {
        seen.users = world.users.of(&seen.origin.uid);
    }
}
