//! Ports beside the others: the network, the groups and the server of each, and which addresses it lacks.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crate::api::{
    network::Network,
    port::{AddressPair, Port},
    security_group::DEFAULT,
    server::Server,
};

use super::{
    cloud::{Cloud, full, home, leaving, name, uid},
    layout::{Layout, Net},
    ledger::{Demand, Given, Ledger, Owner},
    plugs::names_port,
    problem::Problem,
    topology::{self, Uid},
    world::{SERVER_LABEL, Seen, Users, World, host_name},
};

mod lacks;

use lacks::demand;

/// What is found of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFinding {
    /// As of any object.
    pub seen: Seen,
    /// The network, if it can be on it.
    pub network: Option<Uid>,
    /// The largest packet.
    pub mtu: Option<u16>,
    /// Whether port security holds, once its network is known.
    pub secure: Option<bool>,
    /// Why it can have no addresses.
    pub refused: Option<Problem>,
    /// What it lacks.
    pub demand: Demand,
    /// The server that uses it.
    pub server: Option<String>,
    /// Where that runs.
    pub node: Option<String>,
    /// Whether its project lacks the security group `default`, and it wants that one.
    pub wants_default: bool,
}

impl PortFinding {
    /// What it lacks, if it can have it at all.
    pub fn lacks(&self) -> Option<&Demand> {
        Some(&self.demand).filter(|demand| self.refused.is_none() && !demand.is_empty())
    }
}

/// A port as it is to be made, with the UID of its network.
pub type Plugged = (Uid, topology::Port);

/// Looks at a port.
pub fn look(world: &mut World<'_>, port: &Port) -> (PortFinding, Option<Plugged>) {
    let server = server_of(world, port);
    if let Some(server) = server {
        world.users.note(port, server);
    }
    let mut finding = PortFinding {
        seen: Seen::of("Port", port),
        network: None,
        mtu: None,
        secure: None,
        refused: None,
        demand: Demand::default(),
        server: server.map(|server| name(server).to_owned()),
        node: server.and_then(node).map(str::to_owned),
        wants_default: false,
    };
    let held = port
        .status
        .as_ref()
        .and_then(|status| status.network.as_deref());
    let World {
        cloud,
        layout,
        ledger,
        users,
        by_port: _,
        servers: _,
        routers: _,
    } = world;
    let owner = finding.seen.owner();
    let net = match layout.net(&port.spec.network, home(port), held) {
        Ok(net) => net,
        Err(problem) => {
            finding.refused = Some(problem);
            return (finding, None);
        }
    };
    finding.network = Some(net.uid.to_owned());
    finding.mtu = Some(net.mtu);
    let groups = groups(cloud, users, port, &mut finding);
    let mut addresses = held_addresses(
        layout,
        ledger,
        net,
        (port, &owner),
        &mut finding.seen.problems,
    );
    let given = cloud.given.get(uid(port));
    if addresses.is_empty() {
        addresses = given_addresses(layout, ledger, net, given, &owner);
    }
    if held.is_some() || !leaving(net.object) {
        users.note(net.object, port);
    }
    for (subnet, _) in &addresses {
        if let Some(sub) = layout.subs.get(subnet.as_str()) {
            users.note(sub.object, port);
        }
    }
    match demand(layout, net, port) {
        Ok(demand) => finding.demand = demand,
        Err(problem) => finding.refused = Some(problem),
    }
    let secure = security(net.object, port, &mut finding.seen.problems);
    finding.secure = Some(secure);
    let pairs = pairs(net.object, port, &mut finding.seen.problems);
    let mac = port.status.as_ref().and_then(|status| status.mac);
    let given = given.and_then(|given| given.mac.as_ref());
    let given = given.filter(|(network, _)| network == net.uid);
    let Some(mac) = mac.or(given.map(|(_, mac)| *mac)).filter(|mac| {
        let claimed = ledger.claim_mac(net.uid, *mac, &owner);
        let is_own = claimed.is_ok();
        finding.seen.problems.extend(claimed.err());
        is_own
    }) else {
        return (finding, None);
    };
    finding.seen.made = true;
    let plugged = topology::Port {
        origin: finding.seen.origin.clone(),
        mac,
        addresses,
        secure,
        pairs,
        groups,
        qos: port.spec.qos.clone(),
        enabled: port.spec.enabled,
        node: finding.node.clone(),
        names: server
            .map(|server| names(net.object, server))
            .unwrap_or_default(),
    };
    (finding, Some((net.uid.to_owned(), plugged)))
}

/// The server that uses a port. Whoever has it keeps it, for as long as he wants it; then it is the oldest that does.
///
/// A port that was made for a server is that server's, also when it wants it no more: its guest may still have the NIC. Once
/// such a port is on its way out, nothing has it any more, and it is let go.
fn server_of<'a>(world: &World<'a>, port: &Port) -> Option<&'a Server> {
    let home = home(port);
    let named = world.by_port.get(&(home, name(port)));
    let made_for = port
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(SERVER_LABEL));
    let made_for = made_for.and_then(|uid| world.servers.get(uid.as_str()).copied());
    let made_for = made_for.filter(|server| self::home(*server) == home);
    let made_for = made_for.filter(|server| !leaving(port) || names_port(server, name(port)));
    let mut wanting = made_for
        .into_iter()
        .chain(named.into_iter().flatten().copied());
    let holder = port
        .status
        .as_ref()
        .and_then(|status| status.server.as_deref());
    let first = wanting.clone().next();
    wanting
        .find(|server| Some(name(*server)) == holder)
        .or(first)
}

fn node(server: &Server) -> Option<&str> {
    server.status.as_ref()?.node.as_deref()
}

/// What a server is called inside of a network. Of another project's, that is said, too: nobody takes names from the
/// network's owner.
fn names(network: &Network, server: &Server) -> Vec<String> {
    let host = host_name(server);
    let long = format!("{host}.{}", home(server));
    if home(network) == home(server) {
        vec![host, long]
    } else {
        vec![long]
    }
}

fn groups(
    cloud: &Cloud,
    users: &mut Users,
    port: &Port,
    finding: &mut PortFinding,
) -> BTreeSet<Uid> {
    let default = [DEFAULT.to_owned()];
    let names = port.spec.security_groups.as_deref().unwrap_or(&default);
    let mut groups = BTreeSet::new();
    for name in names {
        match cloud.groups.get(home(port), name) {
            Some(group) => {
                users.note(group, port);
                groups.insert(uid(group).to_owned());
            }
            None if name == DEFAULT => finding.wants_default = true,
            None => finding.seen.problems.push(Problem::NoGroup(name.clone())),
        }
    }
    groups
}

/// The addresses that it has, each of which is its own and of its network.
fn held_addresses(
    layout: &Layout<'_>,
    ledger: &mut Ledger,
    net: &Net<'_>,
    (port, owner): (&Port, &Arc<Owner>),
    problems: &mut Vec<Problem>,
) -> Vec<(Uid, IpAddr)> {
    let mut addresses = Vec::new();
    for address in port.status.iter().flat_map(|status| &status.addresses) {
        let Some(sub) = layout.sub_of(net, address) else {
            let subnet = format!("{}/{}", home(net.object), address.subnet);
            problems.push(
                match layout.cloud.subnets.get(home(net.object), &address.subnet) {
                    Some(_) => Problem::SubnetRefused(subnet),
                    None => Problem::NoSubnet {
                        subnet,
                        network: full(net.object),
                    },
                },
            );
            continue;
        };
        match ledger.claim(sub.uid, address.ip, owner) {
            Ok(()) => addresses.push((sub.uid.to_owned(), address.ip)),
            Err(problem) => problems.push(problem),
        }
    }
    addresses
}

/// The addresses that it was given just now, as far as they are still to be had.
fn given_addresses(
    layout: &Layout<'_>,
    ledger: &mut Ledger,
    net: &Net<'_>,
    given: Option<&Given>,
    owner: &Arc<Owner>,
) -> Vec<(Uid, IpAddr)> {
    let grants = given.into_iter().flat_map(|given| &given.grants);
    let mut addresses = Vec::new();
    for grant in grants {
        let sub = layout.subs.get(grant.subnet.as_str());
        let fits = sub.is_some_and(|sub| sub.network == Some(net.uid) && sub.accepted);
        if fits && ledger.claim(&grant.subnet, grant.ip, owner).is_ok() {
            addresses.push((grant.subnet.clone(), grant.ip));
        }
    }
    addresses
}

fn security(network: &Network, port: &Port, problems: &mut Vec<Problem>) -> bool {
    let wanted = port
        .spec
        .port_security
        .unwrap_or(network.spec.port_security);
    let foreign = home(network) != home(port);
    if foreign && network.spec.port_security && !wanted {
        problems.push(Problem::ForeignUnsecured(full(network)));
        return true;
    }
    wanted
}

type Pair = (crate::api::address::Cidr, Option<crate::api::address::Mac>);

fn pairs(network: &Network, port: &Port, problems: &mut Vec<Problem>) -> Vec<Pair> {
    let pairs = &port.spec.allowed_address_pairs;
    if home(network) != home(port) && !pairs.is_empty() {
        problems.push(Problem::ForeignPairs(full(network)));
        return Vec::new();
    }
    let of = |pair: &AddressPair| Some((pair.prefix()?, pair.mac));
    pairs.iter().filter_map(of).collect()
}
