//! Load balancers beside the others: the address of each, and who its members are.

use std::{collections::BTreeMap, net::IpAddr};

use crate::api::{
    address::Mac,
    load_balancer::{Algorithm, LoadBalancer, Member, MemberPool, MemberStatus},
    port::PortAddress,
    security_group::Family,
};

use super::{
    cloud::{full, home, leaving, name, uid},
    layout::{Sub, family_of},
    ledger::{Demand, Role, Slot, Wish},
    plugs::{Plug, Plugs, Ways},
    problem::Problem,
    topology::{self, Balancer, Health, Listener, Uid},
    world::{Seen, World},
};

/// What is said of a member that answers, in OpenStack's words.
const ONLINE: &str = "ONLINE";
/// The same of one that does not.
const OFFLINE: &str = "OFFLINE";

/// What is found of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerFinding {
    /// As of any object.
    pub seen: Seen,
    /// Why it can have no address.
    pub refused: Option<Problem>,
    /// What it lacks.
    pub demand: Demand,
    /// The addresses that questions about members come from, of which something is made.
    pub monitors: Vec<PortAddress>,
    /// Each member, and its address.
    pub members: Vec<MemberStatus>,
}

/// A member that was found: its address, and its port if it is of this cloud.
struct Found<'b, 'a> {
    ip: IpAddr,
    plug: Option<(&'b Plug<'a>, Uid)>,
}

/// Looks at a load balancer.
pub fn look<'a>(
    world: &mut World<'a>,
    plugs: &Plugs<'a>,
    ways: &Ways<'a>,
    balancer: &'a LoadBalancer,
) -> (BalancerFinding, Option<Balancer>) {
    let mut finding = BalancerFinding {
        seen: Seen::of("LoadBalancer", balancer),
        refused: None,
        demand: Demand::default(),
        monitors: Vec::new(),
        members: Vec::new(),
    };
    let made = make(world, plugs, ways, balancer, &mut finding);
    if leaving(balancer) {
        finding.demand = Demand::default();
    }
    finding.seen.made = made.as_ref().is_ok_and(Option::is_some);
    match made {
        Ok(made) => (finding, made),
        Err(problem) => {
            finding.refused = Some(problem);
            (finding, None)
        }
    }
}

fn make<'a>(
    world: &mut World<'a>,
    plugs: &Plugs<'a>,
    ways: &Ways<'a>,
    balancer: &'a LoadBalancer,
    finding: &mut BalancerFinding,
) -> Result<Option<Balancer>, Problem> {
    let spec = &balancer.spec;
    let subnet = world.cloud.subnets.get(home(balancer), &spec.subnet);
    let sub = subnet.and_then(|subnet| world.layout.subs.get(uid(subnet)));
    let sub = sub.ok_or_else(|| Problem::NoOwnSubnet(spec.subnet.clone()))?;
    let net = world.layout.net_of(sub).filter(|_| sub.accepted);
    let net = net.ok_or_else(|| Problem::SubnetRefused(full(sub.object)))?;
    let status = balancer.status.as_ref();
    let held = status
        .and_then(|status| status.address.as_ref())
        .map(|held| held.ip);
    let owner = finding.seen.owner();
    let Some(address) = held else {
        finding.demand.slots.push(Slot {
            role: Role::Own,
            choices: vec![(sub.uid.to_owned(), name(sub.object).to_owned())],
            wish: spec.address.map_or(Wish::Any, Wish::This),
        });
        return Ok(None);
    };
    world.ledger.claim(sub.uid, address, &owner)?;
    world.users.note(sub.object, balancer);
    world.users.note(net.object, balancer);
    let mac = Mac::of(uid(balancer));
    // Nobody else has it: it is made of this load balancer's own UID.
    let _ = world.ledger.claim_mac(net.uid, mac, &owner);
    let mut monitors = BTreeMap::new();
    for monitor in status.iter().flat_map(|status| &status.monitors) {
        let from = world
            .cloud
            .subnets
            .get(home(balancer), &monitor.subnet)
            .map(uid);
        let from = from
            .and_then(|from| world.layout.subs.get(from))
            .filter(|from| from.accepted);
        if let Some(from) = from
            && world.ledger.claim(from.uid, monitor.ip, &owner).is_ok()
        {
            world.users.note(from.object, balancer);
            monitors.insert(from.uid.to_owned(), monitor.clone());
        }
    }
    let mut look = Look {
        world,
        plugs,
        ways,
        balancer,
        sub,
        family: family_of(address),
        monitors: &monitors,
        finding,
    };
    let pools: BTreeMap<&str, Vec<topology::Member>> = spec
        .pools
        .iter()
        .map(|pool| (pool.name.as_str(), look.pool(pool)))
        .collect();
    let listeners = spec.listeners.iter().filter_map(|listener| {
        let pool = spec.pools.iter().find(|pool| pool.name == listener.pool)?;
        Some(Listener {
            protocol: listener.protocol,
            port: listener.port,
            sticky: pool.algorithm == Algorithm::SourceIp,
            members: pools.get(pool.name.as_str()).cloned().unwrap_or_default(),
            health: health(pool),
        })
    });
    Ok(Some(Balancer {
        origin: finding.seen.origin.clone(),
        switch: net.uid.to_owned(),
        subnet: sub.uid.to_owned(),
        address,
        mac,
        floating: None,
        listeners: listeners.collect(),
    }))
}

fn health(pool: &MemberPool) -> Option<Health> {
    // OVN counts whole seconds.
    let seconds = |duration: kube::core::Duration| {
        let duration = std::time::Duration::from(duration);
        let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
    };
    let check = pool.health_check.as_ref()?;
    Some(Health {
        interval: seconds(check.interval),
        timeout: seconds(check.timeout),
        rise: check.rise,
        fall: check.fall,
    })
}

/// One load balancer's members.
struct Look<'b, 'a> {
    world: &'b World<'a>,
    plugs: &'b Plugs<'a>,
    ways: &'b Ways<'a>,
    balancer: &'a LoadBalancer,
    sub: &'b Sub<'a>,
    family: Family,
    /// The addresses that questions come from, by UID of their subnets.
    monitors: &'b BTreeMap<Uid, PortAddress>,
    finding: &'b mut BalancerFinding,
}

impl<'b, 'a> Look<'b, 'a> {
    fn pool(&mut self, pool: &'a MemberPool) -> Vec<topology::Member> {
        let mut members = Vec::new();
        for member in &pool.members {
            let found = self.member(pool, member);
            let state = match &found {
                Err(_) => Some("ERROR".to_owned()),
                Ok(_) if pool.health_check.is_none() => Some("NO_MONITOR".to_owned()),
                Ok(found) => self.health(pool, member, found),
            };
            self.finding.members.push(MemberStatus {
                pool: pool.name.clone(),
                member: called(member),
                ip: found.as_ref().ok().map(|found| found.ip),
                state,
            });
            match found {
                Ok(found) => members.push(self.made(pool, member, &found)),
                Err(problem) => self.finding.seen.problems.push(problem),
            }
        }
        members.sort();
        members.dedup();
        members
    }

    /// Whether a member that is watched lives. Who cannot see says what was seen before.
    fn health(&self, pool: &MemberPool, member: &Member, found: &Found<'_, '_>) -> Option<String> {
        let Some(seen) = &self.world.cloud.sightings else {
            let before = self
                .balancer
                .status
                .iter()
                .flat_map(|status| &status.members);
            let name = called(member);
            let mut same = before.filter(|one| one.pool == pool.name && one.member == name);
            return same
                .next()?
                .state
                .clone()
                .filter(|state| state == ONLINE || state == OFFLINE);
        };
        let (plug, _) = found.plug.as_ref()?;
        let listeners = self.balancer.spec.listeners.iter();
        let protocols: Vec<_> = listeners
            .filter(|listener| listener.pool == pool.name)
            .map(|listener| listener.protocol)
            .collect();
        let answers = seen.answers(uid(plug.object), found.ip, member.port, &protocols)?;
        Some(if answers { ONLINE } else { OFFLINE }.to_owned())
    }

    fn member(&self, pool: &MemberPool, member: &'a Member) -> Result<Found<'b, 'a>, Problem> {
        let pool = || pool.name.clone();
        let own = home(self.balancer);
        let absent = |kind, name: &String| Problem::NoMember {
            pool: pool(),
            kind,
            name: name.clone(),
        };
        let without = || Problem::MemberWithoutAddress {
            pool: pool(),
            member: called(member),
            family: self.family,
        };
        let plugs = if let Some(name) = &member.server {
            let server = self.world.cloud.servers.get(own, name);
            self.plugs.of(server.ok_or_else(|| absent("server", name))?)
        } else if let Some(name) = &member.port_name {
            let there = self.world.cloud.ports.get(own, name);
            there.ok_or_else(|| absent("port", name))?;
            self.plugs.get(own, name).into_iter().collect()
        } else {
            return self.address(pool(), member);
        };
        let here = plugs.iter().find(|plug| {
            Some(plug.network.as_str()) == self.sub.network && plug.first(self.family).is_some()
        });
        let plug = here.or_else(|| plugs.iter().find(|plug| plug.first(self.family).is_some()));
        let plug = *plug.ok_or_else(without)?;
        let (subnet, ip) = plug.first(self.family).ok_or_else(without)?;
        if Some(plug.network.as_str()) != self.sub.network && !self.ways.joins(subnet, self.sub.uid)
        {
            let its = self.world.layout.nets.get(plug.network.as_str());
            return Err(Problem::MemberApart {
                pool: pool(),
                member: called(member),
                its: its.map(|net| full(net.object)).unwrap_or_default(),
                subnet: full(self.sub.object),
            });
        }
        Ok(Found {
            ip: *ip,
            plug: Some((plug, subnet.clone())),
        })
    }

    /// A member that is an address: of a port of this project in the same network, or of somebody else.
    fn address(&self, pool: String, member: &Member) -> Result<Found<'b, 'a>, Problem> {
        let member_name = called(member);
        let ip = member.address.filter(|ip| family_of(*ip) == self.family);
        let ip = ip.ok_or(Problem::MemberFamily {
            pool,
            member: member_name,
        })?;
        let near = |plug: &Plug<'_>| Some(plug.network.as_str()) == self.sub.network;
        let plug = self
            .plugs
            .at(home(self.balancer), ip, near)
            .and_then(|plug| {
                let (subnet, _) = plug.addresses.iter().find(|(_, own)| *own == ip)?;
                Some((plug, subnet.clone()))
            });
        Ok(Found { ip, plug })
    }

    /// The member as it is made. One that is watched needs somebody to ask from, in its own subnet.
    fn made(
        &mut self,
        pool: &MemberPool,
        member: &Member,
        found: &Found<'_, '_>,
    ) -> topology::Member {
        let mut home = None;
        if let (Some((plug, subnet)), true) = (&found.plug, pool.health_check.is_some()) {
            match self.monitors.get(subnet) {
                Some(monitor) => {
                    home = Some((
                        uid(plug.object).to_owned(),
                        plug.network.clone(),
                        monitor.ip,
                    ));
                    if !self.finding.monitors.contains(monitor) {
                        self.finding.monitors.push(monitor.clone());
                    }
                }
                None => self.want_monitor(subnet),
            }
        }
        topology::Member {
            address: found.ip,
            port: member.port,
            home,
        }
    }

    fn want_monitor(&mut self, subnet: &Uid) {
        let slots = &mut self.finding.demand.slots;
        let known = slots
            .iter()
            .any(|slot| slot.choices.iter().any(|(uid, _)| uid == subnet));
        let own = self.world.layout.subs.get(subnet.as_str());
        // Of another project's subnet no address is taken unasked.
        let own =
            own.filter(|sub| super::cloud::home(sub.object) == super::cloud::home(self.balancer));
        if let (Some(sub), false) = (own, known) {
            slots.push(Slot {
                role: Role::Monitor,
                choices: vec![(subnet.clone(), name(sub.object).to_owned())],
                wish: Wish::Any,
            });
        }
    }
}

/// How a member is called.
fn called(member: &Member) -> String {
    match (&member.server, &member.port_name, member.address) {
        (Some(server), ..) => format!("server {server}"),
        (None, Some(port), _) => format!("port {port}"),
        (None, None, Some(address)) => address.to_string(),
        (None, None, None) => String::new(),
    }
}
