//! From a topology to rows: pure, complete, and in a fixed order.
//!
//! One file for each concern. Whoever puts something on a switch or a router leaves a note in [`Notes`]; the rows of
//! switches and routers are made last, of these.
//!
//! A network's rows follow from the network and from what hangs on it, and are the largest part by far: of a cloud that
//! changes a little, a [`Compiler`] takes over those of all networks that are as they were.

mod balancer;
mod dhcp;
mod dns;
mod filter;
mod gateway;
pub mod guard;
mod port;
mod qos;
mod router;
mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::network::plan::topology::{Switch, Topology, Uid};
use crate::ovsdb::Reference;

use super::desired::{Builder, Desired, Key};
use super::tables::Kind;

/// Every row of the topology.
pub fn compile(topology: &Topology) -> Desired {
    assemble(topology, |uid, switch, hung| {
        Arc::new(network(uid, switch, hung))
    })
}

/// Compiles one topology after the other, and remembers the rows of the last one's networks. What comes of it is what
/// [`compile`] makes of the topology alone.
#[derive(Debug, Default)]
pub struct Compiler {
    last: Arc<Topology>,
    networks: BTreeMap<Uid, Compiled>,
}

/// The rows of a network, and what hung on it.
#[derive(Debug)]
struct Compiled {
    hung: Hung,
    rows: Arc<Desired>,
}

impl Compiler {
    /// Every row of the topology.
    pub fn compile(&mut self, topology: &Arc<Topology>) -> Desired {
        let mut before = std::mem::take(&mut self.networks);
        let last = std::mem::replace(&mut self.last, Arc::clone(topology));
        assemble(topology, |uid, switch, hung| {
            let same = before
                .remove(uid)
                .filter(|compiled| compiled.hung == hung && last.switches.get(uid) == Some(switch));
            let compiled = same.unwrap_or_else(|| Compiled {
                hung: hung.clone(),
                rows: Arc::new(network(uid, switch, hung)),
            });
            let rows = Arc::clone(&compiled.rows);
            self.networks.insert(uid.clone(), compiled);
            rows
        })
    }
}

/// Every row, of which those of networks come from `network`.
fn assemble(
    topology: &Topology,
    mut network: impl FnMut(&Uid, &Switch, Hung) -> Arc<Desired>,
) -> Desired {
    let mut builder = Builder::default();
    let mut notes = Notes::default();
    balancer::rows(topology, &mut notes, &mut builder);
    router::rows(topology, &mut notes, &mut builder);
    filter::rows(topology, &mut builder);
    let mut parts = vec![Arc::new(builder.build())];
    for (uid, switch) in &topology.switches {
        let hung = notes.switches.remove(uid).unwrap_or_default();
        parts.push(network(uid, switch, hung));
    }
    Desired::of(&parts)
}

/// The rows of one network.
fn network(uid: &str, switch: &Switch, mut hung: Hung) -> Desired {
    let mut builder = Builder::default();
    dhcp::rows(switch, &mut builder);
    dns::rows(uid, switch, &mut hung, &mut builder);
    qos::rows(uid, switch, &mut hung, &mut builder);
    port::rows(uid, switch, &mut hung, &mut builder);
    guard::rows(uid, switch, &mut builder);
    switch::rows(uid, switch, hung, &mut builder);
    builder.build()
}

/// What hangs on switches and routers, by their UIDs.
#[derive(Debug, Default)]
struct Notes {
    switches: BTreeMap<Uid, Hung>,
    /// Load balancers of routers.
    router_balancers: BTreeMap<Uid, BTreeSet<Reference>>,
}

impl Notes {
    /// What hangs on a switch.
    fn on(&mut self, switch: &str) -> &mut Hung {
        self.switches.entry(switch.to_owned()).or_default()
    }
}

/// What hangs on a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hung {
    ports: BTreeSet<Reference>,
    /// Limits of bandwidth.
    limits: BTreeSet<Reference>,
    /// Names.
    names: BTreeSet<Reference>,
    balancers: BTreeSet<Reference>,
}

/// The keys of rows that others refer to.
mod key {
    use crate::network::plan::northbound::desired::Key;

    pub fn switch(uid: &str) -> Key {
        format!("switch/{uid}").into()
    }

    pub fn port(uid: &str) -> Key {
        format!("port/{uid}").into()
    }

    pub fn router(uid: &str) -> Key {
        format!("router/{uid}").into()
    }

    pub fn group(uid: &str) -> Key {
        format!("group/{uid}").into()
    }

    pub fn guard(network: &str) -> Key {
        format!("guard/{network}").into()
    }

    pub fn dhcp(subnet: &str) -> Key {
        format!("dhcp/{subnet}").into()
    }
}

fn on_switch(uid: &str) -> (Kind, Key) {
    (Kind::Switch, key::switch(uid))
}

fn on_router(uid: &str) -> (Kind, Key) {
    (Kind::Router, key::router(uid))
}

/// An address with the length of its subnet's prefix, as router ports have it.
fn with_length(switch: &Switch, subnet: &str, address: IpAddr) -> Option<String> {
    let cidr = switch.subnets.get(subnet)?.cidr;
    Some(format!("{address}/{}", cidr.net().prefix_len()))
}

/// An address and a port, as OVN writes them.
fn with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// The way to everywhere, of the family of `hop`.
fn everywhere(hop: IpAddr) -> &'static str {
    if hop.is_ipv6() { "::/0" } else { "0.0.0.0/0" }
}

#[cfg(test)]
mod tests;
