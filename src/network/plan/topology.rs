//! What the cloud's networks are: every name resolved, every address given out, everything that makes no sense left out.
//!
//! Made of the objects, and the only thing that rows of OVN's northbound database are compiled from. Equal objects make an
//! equal topology, in which everything is in a fixed order.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::api::{
    address::{Cidr, Mac},
    network::Provider,
    port::Qos,
    security_group::{Direction, Family, IcmpType, PortRange, Protocol},
    subnet::Ipv6Mode,
};

/// The UID of an object.
pub type Uid = String;

/// All of it, each kind by UID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Networks, with subnets and ports.
    pub switches: BTreeMap<Uid, Switch>,
    /// Routers, with floating IPs.
    pub routers: BTreeMap<Uid, Router>,
    /// Security groups.
    pub groups: BTreeMap<Uid, Group>,
    /// Load balancers.
    pub balancers: BTreeMap<Uid, Balancer>,
}

/// Which object something is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Its kind.
    pub kind: &'static str,
    /// Its project.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The Network.
    pub origin: Origin,
    /// The largest packet.
    pub mtu: u16,
    /// The physical network that it is.
    pub provider: Option<Provider>,
    /// Its subnets.
    pub subnets: BTreeMap<Uid, Subnet>,
    /// Its ports.
    pub ports: BTreeMap<Uid, Port>,
}

/// Addresses of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The Subnet.
    pub origin: Origin,
    /// The prefix.
    pub cidr: Cidr,
    /// The way out.
    pub gateway: Option<IpAddr>,
    /// Whether guests are told their addresses.
    pub dhcp: bool,
    /// How, for IPv6.
    pub ipv6_mode: Ipv6Mode,
    /// DNS servers that guests are told of.
    pub dns: Vec<IpAddr>,
    /// Routes that guests are told of: where to, and by which address.
    pub routes: Vec<(Cidr, IpAddr)>,
}

/// A plug of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The Port.
    pub origin: Origin,
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses, each with the UID of its subnet.
    pub addresses: Vec<(Uid, IpAddr)>,
    /// Whether only its own addresses may send, and its groups hold.
    pub secure: bool,
    /// Further addresses that may send, each with its MAC if that is another.
    pub pairs: Vec<(Cidr, Option<Mac>)>,
    /// Its security groups.
    pub groups: BTreeSet<Uid>,
    /// Limits of bandwidth.
    pub qos: Option<Qos>,
    /// Whether packets pass.
    pub enabled: bool,
    /// The node whose switch may bind it; absent while no server that is bound uses it.
    pub node: Option<String>,
    /// The names, without domain, that its addresses have inside of the network.
    pub names: Vec<String>,
}

/// What joins networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// The Router.
    pub origin: Origin,
    /// Whether it passes packets.
    pub enabled: bool,
    /// Where it is in tenants' networks, one for each network that it is in.
    pub interfaces: Vec<Interface>,
    /// The way outside.
    pub gateway: Option<Gateway>,
    /// Routes beside those: where to, and by which address.
    pub routes: Vec<(Cidr, IpAddr)>,
    /// Floating IPs that it does.
    pub floating: BTreeMap<Uid, Floating>,
}

/// A router's port in a network: all subnets of one network share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The network.
    pub switch: Uid,
    /// The MAC address.
    pub mac: Mac,
    /// The router's address in each subnet, with the UID of the subnet.
    pub addresses: Vec<(Uid, IpAddr)>,
}

/// A router's port in an external network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The port.
    pub interface: Interface,
    /// Whether what has no floating IP goes out under the router's own address.
    pub snat: bool,
    /// The external network's own ways out, at most one of each family.
    pub next_hops: Vec<IpAddr>,
    /// The nodes that may pass its packets, with their priorities: the highest that lives does.
    pub chassis: BTreeMap<String, u16>,
}

/// An address outside that leads to one inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floating {
    /// The `FloatingIP`.
    pub origin: Origin,
    /// The address outside.
    pub external: IpAddr,
    /// The address inside.
    pub internal: IpAddr,
    /// The port that has it, and the MAC address that answers outside, if the port's own node does the translation.
    pub distributed: Option<(Uid, Mac)>,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The `SecurityGroup`.
    pub origin: Origin,
    /// Whether answers pass by themselves.
    pub stateful: bool,
    /// What may pass.
    pub rules: Vec<Rule>,
}

/// What may pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Which way.
    pub direction: Direction,
    /// Of which family; none: of both.
    pub family: Option<Family>,
    /// Of which protocol; none: of any.
    pub protocol: Option<Protocol>,
    /// To which ports; none: to all.
    pub ports: Option<PortRange>,
    /// Of which ICMP type; none: of all.
    pub icmp: Option<IcmpType>,
    /// With whom.
    pub peer: Peer,
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Everybody.
    Anybody,
    /// Addresses.
    Prefix(Cidr),
    /// The addresses of the ports that have this group.
    Group(Uid),
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// The `LoadBalancer`.
    pub origin: Origin,
    /// The network that its address is in.
    pub switch: Uid,
    /// The subnet that its address is in.
    pub subnet: Uid,
    /// Its address.
    pub address: IpAddr,
    /// The MAC address that the network knows it by.
    pub mac: Mac,
    /// Its address outside, and the router that has it.
    pub floating: Option<(Uid, IpAddr)>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
}

/// Where a load balancer listens, and who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `Tcp` or `Udp`.
    pub protocol: crate::api::load_balancer::ListenerProtocol,
    /// The port.
    pub port: u16,
    /// Whether a client stays with its member.
    pub sticky: bool,
    /// Those who answer.
    pub members: Vec<Member>,
    /// How it is found out who lives.
    pub health: Option<Health>,
}

/// Somebody who answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The address.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// The Port that has the address, its network and an address of the subnet that questions may come from; none, for
    /// somebody who is not of this cloud, and so cannot be watched.
    pub home: Option<(Uid, Uid, IpAddr)>,
}

/// How it is found out who lives. Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// How often.
    pub interval: u32,
    /// How long an answer may take.
    pub timeout: u32,
    /// How many answers make a dead member live.
    pub rise: u8,
    /// How many failures make a living member dead.
    pub fall: u8,
}
