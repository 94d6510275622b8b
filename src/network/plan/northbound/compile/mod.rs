//! From a topology to rows: pure, complete, and in a fixed order.
//!
//! One file for each concern. Whoever puts something on a switch or a router leaves a note in [`Notes`]; the rows of
//! switches and routers are made last, of these.

mod balancer;
mod dhcp;
mod dns;
mod filter;
mod gateway;
mod port;
mod qos;
mod router;
mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::network::plan::topology::{Switch, Topology, Uid};
use crate::ovsdb::Reference;

use super::desired::{Builder, Desired};
use super::tables::Kind;

/// Every row of the topology.
pub fn compile(topology: &Topology) -> Desired {
    let mut builder = Builder::default();
    let mut notes = Notes::default();
    balancer::rows(topology, &mut notes, &mut builder);
    router::rows(topology, &mut notes, &mut builder);
    filter::rows(topology, &mut builder);
    for (uid, switch) in &topology.switches {
        dhcp::rows(switch, &mut builder);
        dns::rows(uid, switch, &mut notes, &mut builder);
        qos::rows(uid, switch, &mut notes, &mut builder);
        port::rows(uid, switch, &mut notes, &mut builder);
        switch::rows(uid, switch, &mut notes, &mut builder);
    }
    builder.build()
}

/// What hangs on switches and routers, by their UIDs.
#[derive(Debug, Default)]
struct Notes {
    /// Ports of switches.
    ports: BTreeMap<Uid, BTreeSet<Reference>>,
    /// Limits of bandwidth.
    limits: BTreeMap<Uid, BTreeSet<Reference>>,
    /// Names.
    names: BTreeMap<Uid, BTreeSet<Reference>>,
    /// Load balancers of switches.
    switch_balancers: BTreeMap<Uid, BTreeSet<Reference>>,
    /// Load balancers of routers.
    router_balancers: BTreeMap<Uid, BTreeSet<Reference>>,
}

/// The keys of rows that others refer to.
mod key {
    pub fn switch(uid: &str) -> String {
        format!("switch/{uid}")
    }

    pub fn port(uid: &str) -> String {
        format!("port/{uid}")
    }

    pub fn router(uid: &str) -> String {
        format!("router/{uid}")
    }

    pub fn group(uid: &str) -> String {
        format!("group/{uid}")
    }

    pub fn dhcp(subnet: &str) -> String {
        format!("dhcp/{subnet}")
    }
}

fn on_switch(uid: &str) -> (Kind, String) {
    (Kind::Switch, key::switch(uid))
}

fn on_router(uid: &str) -> (Kind, String) {
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
