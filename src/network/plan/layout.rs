//! Networks and their subnets: which of them make sense beside the others, and how whoever names one finds it.

use std::{collections::BTreeMap, net::IpAddr};

use crate::api::{
    address::Cidr,
    condition,
    network::{EVERYBODY, Network},
    port::PortAddress,
    security_group::Family,
    subnet::{Ipv6Mode, Subnet},
    value::Reference,
};

use super::{
    cloud::{Cloud, age, full, home, leaving, name, uid},
    keep::is_held,
    ledger::{Book, Giving, Ledger, whole},
    problem::Problem,
};

/// The MTU of a physical network that does not say its own.
const ETHERNET_MTU: u16 = 1500;

/// A network, looked at beside the others.
#[derive(Debug)]
pub struct Net<'a> {
    /// The object.
    pub object: &'a Network,
    /// Its UID.
    pub uid: &'a str,
    /// The largest packet.
    pub mtu: u16,
    /// What is wrong with it; nothing of it is made then.
    pub problem: Option<Problem>,
    /// The UIDs of those of its subnets that make sense, the oldest first.
    pub subnets: Vec<&'a str>,
    /// The names of all of its subnets.
    pub names: Vec<&'a str>,
}

/// A subnet, looked at beside the others.
#[derive(Debug)]
pub struct Sub<'a> {
    /// The object.
    pub object: &'a Subnet,
    /// Its UID.
    pub uid: &'a str,
    /// The UID of its network, if that is there.
    pub network: Option<&'a str>,
    /// The prefix.
    pub cidr: Cidr,
    /// The way out.
    pub gateway: Option<IpAddr>,
    /// Whether it is made at all.
    pub accepted: bool,
    /// What is wrong with it, or with elements of it.
    pub problems: Vec<Problem>,
}

impl Sub<'_> {
    /// Of which family it is.
    pub fn family(&self) -> Family {
        family_of(self.cidr.net().addr())
    }

    /// Whether its guests make their own addresses.
    pub fn is_slaac(&self) -> bool {
        self.cidr.is_ipv6()
            && self.object.spec.dhcp
            && self.object.spec.ipv6_mode.unwrap_or_default() != Ipv6Mode::DhcpStateful
    }
}

/// Of which family an address is.
pub fn family_of(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    }
}

/// All networks and subnets.
#[derive(Debug)]
pub struct Layout<'a> {
    /// What they are part of.
    pub cloud: &'a Cloud,
    /// Networks, by UID.
    pub nets: BTreeMap<&'a str, Net<'a>>,
    /// Subnets, by UID.
    pub subs: BTreeMap<&'a str, Sub<'a>>,
}

impl<'a> Layout<'a> {
    /// Looks at all of them, and opens their books.
    pub fn of(cloud: &'a Cloud, ledger: &mut Ledger) -> Self {
        let mut layout = Self {
            cloud,
            nets: nets(cloud),
            subs: BTreeMap::new(),
        };
        let mut subnets: Vec<&Subnet> = cloud.subnets.iter().collect();
        // One that was accepted once is not refused for one that came later within the same second.
        subnets.sort_by_key(|subnet| (!was_accepted(subnet), age(*subnet)));
        for subnet in subnets {
            layout.add(subnet, ledger);
        }
        for net in layout.nets.values_mut() {
            let subs = &layout.subs;
            net.subnets
                .sort_by_key(|uid| subs.get(uid).map(|sub| age(sub.object)));
            net.names.sort_unstable();
            ledger.open_network(net.uid, full(net.object));
        }
        layout
    }

    fn add(&mut self, subnet: &'a Subnet, ledger: &mut Ledger) {
        let spec = &subnet.spec;
        let network = self.cloud.networks.get(home(subnet), &spec.network);
        let net = network.and_then(|network| self.nets.get(uid(network)));
        let mut problems = Vec::new();
        match net {
            None => problems.push(Problem::NoNetwork(spec.network.clone())),
            Some(net) if net.problem.is_some() => {
                problems.push(Problem::NetworkRefused(full(net.object)));
            }
            Some(net) => problems.extend(self.overlap(net, spec.cidr)),
        }
        let gateway = match gateway(subnet) {
            Ok(gateway) => gateway,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let accepted = problems.is_empty();
        let pools = pools(subnet, &mut problems);
        rest(subnet, &mut problems);
        let giving = if !accepted || leaving(subnet) || network.is_some_and(leaving) {
            Giving::Closed
        } else if is_held(subnet) && network.is_some_and(is_held) {
            Giving::Open
        } else {
            Giving::NotYet
        };
        let book = Book::new(full(subnet), spec.cidr, gateway, &pools);
        let network = network.map(uid);
        if let Some(net) = network.and_then(|network| self.nets.get_mut(network)) {
            net.names.push(name(subnet));
            if accepted {
                net.subnets.push(uid(subnet));
            }
        }
        let sub = Sub {
            object: subnet,
            uid: uid(subnet),
            network,
            cidr: spec.cidr,
            gateway,
            accepted,
            problems,
        };
        let book = book.slaac(sub.is_slaac()).giving(giving);
        ledger.open(sub.uid, book);
        self.subs.insert(sub.uid, sub);
    }

    fn overlap(&self, net: &Net<'_>, cidr: Cidr) -> Option<Problem> {
        let mut others = net.subnets.iter().filter_map(|uid| self.subs.get(uid));
        let other = others.find(|other| other.cidr.overlaps(&cidr))?;
        Some(Problem::Overlap {
            cidr,
            other: full(other.object),
            other_cidr: other.cidr,
        })
    }

    /// The network that a reference means to somebody of the project `asker`, if it is there for it. `held` is the UID of
    /// the one that it has something on already: nobody is thrown out when a network is shared no longer.
    pub fn net(
        &self,
        reference: &Reference,
        asker: &str,
        held: Option<&str>,
    ) -> Result<&Net<'a>, Problem> {
        let (namespace, name) = reference.resolve(asker);
        let absent = || Problem::NoNetwork(reference.to_string());
        let network = self
            .cloud
            .networks
            .get(namespace, name)
            .ok_or_else(absent)?;
        let net = self.nets.get(uid(network)).ok_or_else(absent)?;
        let holds = held == Some(net.uid);
        if !holds && !is_shared(net.object, asker) {
            return Err(absent());
        }
        if held.is_some() && !holds {
            return Err(Problem::NetworkReplaced(full(network)));
        }
        if net.problem.is_some() {
            return Err(Problem::NetworkRefused(full(network)));
        }
        if !holds && leaving(network) {
            return Err(Problem::NetworkLeaving(full(network)));
        }
        Ok(net)
    }

    /// The subnet that a reference means to somebody of the project `asker`, if it is there for it; `held`: it has an
    /// address in it already.
    pub fn sub(&self, reference: &Reference, asker: &str, held: bool) -> Result<&Sub<'a>, Problem> {
        let (namespace, name) = reference.resolve(asker);
        let absent = || Problem::NoRouterSubnet(reference.to_string());
        let subnet = self.cloud.subnets.get(namespace, name).ok_or_else(absent)?;
        let sub = self.subs.get(uid(subnet)).ok_or_else(absent)?;
        let net = self.net_of(sub);
        let seen =
            held || namespace == asker || net.is_some_and(|net| is_shared(net.object, asker));
        if !seen {
            return Err(absent());
        }
        if !sub.accepted {
            return Err(Problem::SubnetRefused(full(subnet)));
        }
        if !held && (leaving(subnet) || net.is_some_and(|net| leaving(net.object))) {
            return Err(Problem::SubnetLeaving(full(subnet)));
        }
        Ok(sub)
    }

    /// The network of a subnet.
    pub fn net_of(&self, sub: &Sub<'a>) -> Option<&Net<'a>> {
        self.nets.get(sub.network?)
    }

    /// A subnet of a network, as a status calls it.
    pub fn sub_of(&self, net: &Net<'a>, address: &PortAddress) -> Option<&Sub<'a>> {
        let subnet = self.cloud.subnets.get(home(net.object), &address.subnet)?;
        let sub = self.subs.get(uid(subnet))?;
        (sub.network == Some(net.uid) && sub.accepted).then_some(sub)
    }

    /// The subnets of a network that make sense, the oldest first.
    pub fn subs_of(&self, net: &Net<'a>) -> impl Iterator<Item = &Sub<'a>> {
        net.subnets.iter().filter_map(|uid| self.subs.get(uid))
    }
}

/// Whether somebody of this project may use the network.
pub fn is_shared(network: &Network, project: &str) -> bool {
    let with = &network.spec.shared_with;
    home(network) == project || with.iter().any(|with| with == project || with == EVERYBODY)
}

fn was_accepted(subnet: &Subnet) -> bool {
    let status = subnet.status.as_ref();
    status.is_some_and(|status| condition::holds(&status.conditions, "Accepted"))
}

fn nets(cloud: &Cloud) -> BTreeMap<&str, Net<'_>> {
    let mut segments = BTreeMap::new();
    let net = |object| {
        let object: &Network = object;
        let spec = &object.spec;
        let problem = spec.provider.as_ref().and_then(|provider| {
            let segment = (&provider.physical_network, provider.vlan);
            let by = segments.get(&segment).map(|by: &&Network| full(*by));
            if by.is_none() {
                segments.insert(segment, object);
            }
            let vlan = match provider.vlan {
                Some(vlan) => format!("VLAN {vlan}"),
                None => "what is untagged".to_owned(),
            };
            let segment = format!(
                "{vlan} of the physical network {:?}",
                provider.physical_network
            );
            by.map(|by| Problem::SegmentTaken { segment, by })
        });
        let default = spec
            .provider
            .as_ref()
            .map_or(cloud.tenant_mtu, |_| ETHERNET_MTU);
        let net = Net {
            object,
            uid: uid(object),
            mtu: spec.mtu.unwrap_or(default),
            problem,
            subnets: Vec::new(),
            names: Vec::new(),
        };
        (net.uid, net)
    };
    cloud.networks.iter().map(net).collect()
}

/// The way out of a subnet.
fn gateway(subnet: &Subnet) -> Result<Option<IpAddr>, Problem> {
    let cidr = subnet.spec.cidr;
    let gateway: IpAddr = match subnet.spec.gateway.as_deref() {
        Some("None") => return Ok(None),
        None => return Ok(Some(whole(cidr).0)),
        Some(text) => match text.parse() {
            Ok(gateway) => gateway,
            // The schema rules it out.
            Err(_) => return Ok(None),
        },
    };
    let net = cidr.net();
    let reserved = |what| Problem::GatewayReserved {
        gateway,
        what,
        cidr,
    };
    match gateway {
        _ if !cidr.contains(gateway) => Err(Problem::GatewayOutside { gateway, cidr }),
        _ if gateway == net.network() => Err(reserved("network")),
        IpAddr::V4(_) if gateway == net.broadcast() => Err(reserved("broadcast")),
        _ => Ok(Some(gateway)),
    }
}

/// What a subnet gives out: those of its pools that make sense.
fn pools(subnet: &Subnet, problems: &mut Vec<Problem>) -> Vec<(IpAddr, IpAddr)> {
    let cidr = subnet.spec.cidr;
    if subnet.spec.pools.is_empty() {
        return vec![whole(cidr)];
    }
    let mut pools: Vec<(IpAddr, IpAddr)> = Vec::new();
    for pool in &subnet.spec.pools {
        let (start, end) = (pool.start, pool.end);
        let other = pools
            .iter()
            .find(|(first, last)| start <= *last && end >= *first);
        if !cidr.contains(start) || !cidr.contains(end) {
            problems.push(Problem::PoolOutside { start, end, cidr });
        } else if start > end {
            problems.push(Problem::PoolUpsideDown { start, end });
        } else if let Some((first, last)) = other {
            let other = format!("{first} to {last}");
            problems.push(Problem::PoolsOverlap { start, end, other });
        } else {
            let (first, last) = whole(cidr);
            pools.push((start.max(first), end.min(last)));
        }
    }
    pools.retain(|(start, end)| start <= end);
    pools
}

/// The routes that guests are told of, and DNS servers: which of them make sense.
fn rest(subnet: &Subnet, problems: &mut Vec<Problem>) {
    let cidr = subnet.spec.cidr;
    for route in subnet
        .spec
        .routes
        .iter()
        .filter(|route| !cidr.contains(route.via))
    {
        let (to, via) = (route.to, route.via);
        problems.push(Problem::GuestRoute { to, via, cidr });
    }
    for server in &subnet.spec.dns {
        if server.is_ipv6() != cidr.is_ipv6() {
            problems.push(Problem::DnsFamily { server: *server });
        }
    }
}
