//! Ports as others find them once all of them were looked at: by server, by address, and by which routers they are near.

use std::{collections::BTreeMap, net::IpAddr};

use crate::api::{port::Port, security_group::Family, server::Server};

use super::{
    cloud::{called, home, name, uid},
    layout::family_of,
    port::{Plugged, PortFinding},
    router::Draft,
    topology::Uid,
};

/// A port that is there.
#[derive(Clone, Debug)]
pub struct Plug<'a> {
    /// The object.
    pub object: &'a Port,
    /// The UID of its network.
    pub network: Uid,
    /// Its addresses, each with the UID of its subnet.
    pub addresses: Vec<(Uid, IpAddr)>,
    /// Where its server runs.
    pub node: Option<String>,
}

impl Plug<'_> {
    /// Its first address of a family.
    pub fn first(&self, family: Family) -> Option<&(Uid, IpAddr)> {
        let mut addresses = self.addresses.iter();
        addresses.find(|(_, ip)| family_of(*ip) == family)
    }

    /// How it is called in messages.
    pub fn called(&self) -> String {
        called(self.object)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Plugs<'a> {
    all: Vec<Plug<'a>>,
    by_name: BTreeMap<(&'a str, &'a str), usize>,
    by_server: BTreeMap<(&'a str, String), Vec<usize>>,
}

impl<'a> Plugs<'a> {
    /// Takes note of a port that was looked at.
    pub fn add(&mut self, object: &'a Port, finding: &PortFinding, plugged: &Plugged) {
        let at = self.all.len();
        let (network, port) = plugged;
        self.all.push(Plug {
            object,
            network: network.clone(),
            addresses: port.addresses.clone(),
            node: finding.node.clone(),
        });
        self.by_name.insert((home(object), name(object)), at);
        if let Some(server) = &finding.server {
            let key = (home(object), server.clone());
            self.by_server.entry(key).or_default().push(at);
        }
    }

    /// The port of this name.
    pub fn get(&self, project: &'a str, name: &'a str) -> Option<&Plug<'a>> {
        self.by_name.get(&(project, name)).map(|at| &self.all[*at])
    }

    /// The ports of a server, in the order of its NICs.
    pub fn of(&self, server: &'a Server) -> Vec<&Plug<'a>> {
        let key = (home(server), name(server).to_owned());
        let found = self.by_server.get(&key).into_iter().flatten();
        let mut plugs: Vec<&Plug<'a>> = found.map(|at| &self.all[*at]).collect();
        plugs.sort_by_key(|plug| (place(server, name(plug.object)), name(plug.object)));
        plugs
    }

    /// Whoever has an address of a network, in a project.
    pub fn at(
        &self,
        project: &str,
        ip: IpAddr,
        fits: impl Fn(&Plug<'a>) -> bool,
    ) -> Option<&Plug<'a>> {
        self.all.iter().find(|plug| {
            home(plug.object) == project
                && plug.addresses.iter().any(|(_, own)| *own == ip)
                && fits(plug)
        })
    }
}

/// Whether a port, which was made for the server or brought, is for one of its NICs.
pub fn names_port(server: &Server, port: &str) -> bool {
    place(server, port) < server.spec.networks.len()
}

/// Which NIC of a server a port is: see `Server.spec.networks` for how ports are called that were made for one.
fn place(server: &Server, port: &str) -> usize {
    let nics = &server.spec.networks;
    let is = |nic: &crate::api::server::ServerNetwork| {
        if let Some(own) = &nic.port {
            return own == port;
        }
        let network = nic.network.as_ref().map(|network| network.resolve("").1);
        let end = nic.name.as_deref().or(network).unwrap_or_default();
        let rest = port
            .strip_prefix(name(server))
            .and_then(|rest| rest.strip_prefix('-'));
        rest == Some(end)
    };
    nics.iter().position(is).unwrap_or(nics.len())
}

/// Where routers are.
#[derive(Debug, Default)]
pub struct Ways<'a> {
    /// The routers that have a subnet, the oldest first.
    inside: BTreeMap<Uid, Vec<&'a str>>,
    /// The routers' gateways: the network of each, by UID of the router.
    outside: BTreeMap<&'a str, Uid>,
    names: BTreeMap<&'a str, String>,
}

impl<'a> Ways<'a> {
    /// The ways that these routers make.
    pub fn of(drafts: &[Draft<'a>]) -> Self {
        let mut ways = Self::default();
        for draft in drafts {
            let router = uid(draft.object);
            ways.names.insert(router, name(draft.object).to_owned());
            for (subnet, _) in draft
                .interfaces
                .iter()
                .flat_map(|interface| &interface.addresses)
            {
                ways.inside.entry(subnet.clone()).or_default().push(router);
            }
            if let Some(gateway) = &draft.gateway {
                ways.outside
                    .insert(router, gateway.interface.switch.clone());
            }
        }
        ways
    }

    /// The router that joins a subnet with an external network.
    pub fn out(&self, subnet: &str, network: &str) -> Option<&'a str> {
        let routers = self.inside.get(subnet)?;
        let leads = |router: &&&str| self.outside.get(**router).is_some_and(|out| out == network);
        routers.iter().find(leads).copied()
    }

    /// Whether a router joins two subnets.
    pub fn joins(&self, one: &str, other: &str) -> bool {
        let of = |subnet| self.inside.get(subnet).into_iter().flatten();
        of(one).any(|router| of(other).any(|other| other == router))
    }

    /// The name of a router.
    pub fn name(&self, router: &str) -> Option<&str> {
        self.names.get(router).map(String::as_str)
    }
}
