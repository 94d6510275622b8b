//! What can be wrong with an object beside the others, in words for its owner: each names the culprit, and what to do.
//!
//! What the API server can see by itself is refused by the schemas, and not here.

use std::net::IpAddr;

use crate::api::{
    address::{Cidr, Mac},
    security_group::Family,
};

/// What is wrong with an object, or with one element of it. Names of objects are `project/name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each says what it is in its text")]
pub enum Problem {
    // Networks.
    #[error(
        "{segment} is network {by} already, which is older: two networks cannot be one; use that one, or another VLAN"
    )]
    SegmentTaken { segment: String, by: String },
    #[error("{}", no_network(.0))]
    NoNetwork(String),
    #[error("network {0} is being deleted and takes nothing new: use another one")]
    NetworkLeaving(String),
    #[error("network {0} is itself refused: see `kubectl describe network` on it")]
    NetworkRefused(String),
    #[error(
        "network {0} was replaced by another one of the same name, which knows nothing of this object: delete this and make it anew"
    )]
    NetworkReplaced(String),
    #[error("network {0} has no subnet that could give an address: make one")]
    NoSubnetYet(String),
    #[error(
        "network {0} is not external: its administrator can set spec.external, or use one that is"
    )]
    NotExternal(String),

    // Subnets.
    #[error(
        "{cidr} overlaps {other_cidr} of subnet {other}, which is older and of the same network: delete this subnet and make it with other addresses"
    )]
    Overlap {
        cidr: Cidr,
        other: String,
        other_cidr: Cidr,
    },
    #[error(
        "the gateway {gateway} is the {what} address of {cidr}, which no router can have: make the subnet with another gateway"
    )]
    GatewayReserved {
        gateway: IpAddr,
        what: &'static str,
        cidr: Cidr,
    },
    #[error("the gateway {gateway} is not in {cidr}: make the subnet with another gateway")]
    GatewayOutside { gateway: IpAddr, cidr: Cidr },
    #[error("the pool {start} to {end} is upside down: its start is above its end; it is left out")]
    PoolUpsideDown { start: IpAddr, end: IpAddr },
    #[error("the pool {start} to {end} is not in {cidr}; it is left out")]
    PoolOutside {
        start: IpAddr,
        end: IpAddr,
        cidr: Cidr,
    },
    #[error("the pool {start} to {end} overlaps the pool {other} before it; it is left out")]
    PoolsOverlap {
        start: IpAddr,
        end: IpAddr,
        other: String,
    },
    #[error("the route to {to} has the next hop {via}, which is not in {cidr}; it is left out")]
    GuestRoute { to: Cidr, via: IpAddr, cidr: Cidr },
    #[error(
        "the DNS server {server} is not of the subnet's family, by which guests could be told of it; it is left out"
    )]
    DnsFamily { server: IpAddr },

    // Addresses.
    #[error(
        "there is no subnet {subnet:?} of network {network}: `kubectl get subnets` lists what there is"
    )]
    NoSubnet { subnet: String, network: String },
    #[error("subnet {subnet} is of network {its}, not of network {network}")]
    SubnetElsewhere {
        subnet: String,
        its: String,
        network: String,
    },
    #[error("subnet {0} is itself refused: see `kubectl describe subnet` on it")]
    SubnetRefused(String),
    #[error("subnet {0} is being deleted and gives out no addresses: use another one")]
    SubnetLeaving(String),
    #[error("subnet {0} was made just now and gives out addresses in a moment")]
    SubnetNew(String),
    #[error("{ip} is in no subnet of network {network}: its subnets are {subnets}")]
    AddressNowhere {
        ip: IpAddr,
        network: String,
        subnets: String,
    },
    #[error("{ip} is not in {cidr} of subnet {subnet}")]
    OutsideSubnet {
        ip: IpAddr,
        subnet: String,
        cidr: Cidr,
    },
    #[error(
        "{ip} is outside of the pools of subnet {subnet}, which are {pools}: ask for an address in them, or for any"
    )]
    OutsidePools {
        ip: IpAddr,
        subnet: String,
        pools: String,
    },
    #[error(
        "{ip} is the {what} address of subnet {subnet} ({cidr}) and is given to nobody: ask for another one, or for any"
    )]
    AddressReserved {
        ip: IpAddr,
        subnet: String,
        cidr: Cidr,
        what: &'static str,
    },
    #[error("{ip} of subnet {subnet} is taken by {by}: ask for another one, or delete that")]
    AddressTaken {
        ip: IpAddr,
        subnet: String,
        by: String,
    },
    #[error(
        "guests of subnet {subnet} make their own IPv6 addresses, and this one's will be {own}: {ip} cannot be asked for; leave ip away"
    )]
    SlaacWish {
        ip: IpAddr,
        subnet: String,
        own: IpAddr,
    },
    #[error(
        "subnet {subnet} has no free address: all {size} of {pools} are taken; delete ports that nobody uses, or give it more pools or another subnet"
    )]
    Full {
        subnet: String,
        size: u128,
        pools: String,
    },
    #[error(
        "the MAC address {mac} is taken on network {network} by {by}: make the port with another one"
    )]
    MacTaken {
        mac: Mac,
        network: String,
        by: String,
    },

    // Ports.
    #[error(
        "there is no security group {0:?} in this project: make it, or name another one; until then its rules allow nothing"
    )]
    NoGroup(String),
    #[error(
        "network {0} is of another project, so this port cannot be without port security: it has it"
    )]
    ForeignUnsecured(String),
    #[error(
        "network {0} is of another project, so this port cannot have allowedAddressPairs: they are left out"
    )]
    ForeignPairs(String),

    // Security groups.
    #[error(
        "rules[{index}] names the security group {group:?}, which is not in this project: the rule is left out; make the group, or take the rule away"
    )]
    RuleGroup { index: usize, group: String },

    // Routers.
    #[error("{}", no_subnet(.0))]
    NoRouterSubnet(String),
    #[error("subnet {0} is there twice: the second is left out")]
    SubnetTwice(String),
    #[error(
        "subnet {subnet} ({cidr}) overlaps subnet {other} ({other_cidr}), which this router has already: it is left out"
    )]
    RouterOverlap {
        subnet: String,
        cidr: Cidr,
        other: String,
        other_cidr: Cidr,
    },
    #[error(
        "subnet {subnet} is of network {network}, where this router has its external gateway: the interface is left out"
    )]
    InterfaceOutside { subnet: String, network: String },
    #[error(
        "subnet {0} has no gateway, so the interface needs an address of its own: set its address"
    )]
    NoInterfaceAddress(String),
    #[error(
        "subnet {subnet} is of another project, whose gateway {gateway} this router cannot be: set another address for the interface"
    )]
    ForeignGateway { subnet: String, gateway: IpAddr },
    #[error(
        "the gateway {gateway} of subnet {subnet} is held by {by}: set another address for the interface, or take the subnet off that router"
    )]
    GatewayHeld {
        gateway: IpAddr,
        subnet: String,
        by: String,
    },
    #[error(
        "the route to {to} has the next hop {via}, which is in no subnet that this router has: it is left out"
    )]
    NextHopApart { to: Cidr, via: IpAddr },
    #[error("the route to {to} has this router's own address {via} as next hop: it is left out")]
    NextHopSelf { to: Cidr, via: IpAddr },
    #[error("the route to {to} has a next hop of the other family, {via}: it is left out")]
    NextHopFamily { to: Cidr, via: IpAddr },
    #[error("the route to {to} leads in a circle: {path}; it is left out")]
    Circle { to: Cidr, path: String },
    #[error(
        "no hypervisor that is ready reaches the physical network {0:?}, so nothing passes the external gateway: an administrator can map it in some host's ovn-bridge-mappings"
    )]
    NoChassis(String),
    #[error(
        "no hypervisor that its external gateway may be on is Ready ({}), so perhaps nothing passes it: `kubectl describe hypervisor {}` says what is wrong; any other that is Ready and reaches the physical network {physical:?} takes it over by itself", nodes.join(", "), nodes.first().map_or("", String::as_str)
    )]
    ChassisNotReady {
        nodes: Vec<String>,
        physical: String,
    },

    // Floating IPs.
    #[error("there is no {kind} {name:?} in this project")]
    NoTarget { kind: &'static str, name: String },
    #[error("server {0} has no port with an address yet")]
    ServerWithoutPort(String),
    #[error("{port} has no {family} address that this could lead to")]
    NoAddressOfFamily { port: String, family: Family },
    #[error("{ip} is no address of {port}")]
    NotItsAddress { port: String, ip: IpAddr },
    #[error(
        "no router joins {target} with network {network}: one needs spec.externalGateway.network {network} and an interface in the subnet"
    )]
    NoRouter { target: String, network: String },
    #[error(
        "floating IP {by}, which was there first, leads to {ip} of {target} already: an address has one at most"
    )]
    TwoFloating {
        by: String,
        ip: IpAddr,
        target: String,
    },
    #[error("{target} has no address yet")]
    TargetWithoutAddress { target: String },

    // Load balancers.
    #[error(
        "there is no subnet {0:?} in this project: make it, or make the load balancer with another one"
    )]
    NoOwnSubnet(String),
    #[error("pool {pool:?}: there is no {kind} {name:?} in this project: the member is left out")]
    NoMember {
        pool: String,
        kind: &'static str,
        name: String,
    },
    #[error("pool {pool:?}: {member} has no {family} address yet: the member is left out")]
    MemberWithoutAddress {
        pool: String,
        member: String,
        family: Family,
    },
    #[error(
        "pool {pool:?}: {member} is of the other family than the load balancer: it is left out"
    )]
    MemberFamily { pool: String, member: String },
    #[error(
        "pool {pool:?}: {member} is on network {its}, which no router joins with subnet {subnet}: the member is left out"
    )]
    MemberApart {
        pool: String,
        member: String,
        its: String,
        subnet: String,
    },
}

impl Problem {
    /// One CamelCase word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SegmentTaken { .. } => "SegmentTaken",
            Self::NoNetwork(_) | Self::NetworkReplaced(_) => "NoNetwork",
            Self::NetworkLeaving(_) | Self::SubnetLeaving(_) => "BeingDeleted",
            Self::NetworkRefused(_) | Self::SubnetRefused(_) => "Refused",
            Self::SubnetNew(_) => "NotAllocated",
            Self::NoSubnetYet(_)
            | Self::NoSubnet { .. }
            | Self::NoRouterSubnet(_)
            | Self::NoOwnSubnet(_) => "NoSubnet",
            Self::NotExternal(_) => "NotExternal",
            Self::Overlap { .. } | Self::RouterOverlap { .. } => "Overlap",
            Self::GatewayReserved { .. } | Self::GatewayOutside { .. } => "InvalidGateway",
            Self::PoolUpsideDown { .. } | Self::PoolOutside { .. } | Self::PoolsOverlap { .. } => {
                "InvalidPool"
            }
            Self::GuestRoute { .. }
            | Self::NextHopApart { .. }
            | Self::NextHopSelf { .. }
            | Self::NextHopFamily { .. } => "InvalidRoute",
            Self::Circle { .. } => "RouterLoop",
            Self::DnsFamily { .. } => "InvalidDns",
            Self::SubnetElsewhere { .. } => "SubnetElsewhere",
            Self::AddressNowhere { .. } | Self::OutsideSubnet { .. } => "AddressOutside",
            Self::OutsidePools { .. } => "OutsidePools",
            Self::AddressReserved { .. } | Self::SlaacWish { .. } => "AddressReserved",
            Self::AddressTaken { .. } | Self::GatewayHeld { .. } => "AddressTaken",
            Self::Full { .. } => "SubnetFull",
            Self::MacTaken { .. } => "MacTaken",
            Self::NoGroup(_) | Self::RuleGroup { .. } => "NoSecurityGroup",
            Self::ForeignUnsecured(_) | Self::ForeignPairs(_) | Self::ForeignGateway { .. } => {
                "ForeignNetwork"
            }
            Self::SubnetTwice(_) => "SubnetTwice",
            Self::InterfaceOutside { .. } => "InterfaceOutside",
            Self::NoInterfaceAddress(_) => "NoAddress",
            Self::NoChassis(_) => "NoChassis",
            Self::ChassisNotReady { .. } => "ChassisNotReady",
            Self::NoTarget { .. } | Self::ServerWithoutPort(_) => "NoTarget",
            Self::NoAddressOfFamily { .. }
            | Self::NotItsAddress { .. }
            | Self::TargetWithoutAddress { .. } => "NoFixedAddress",
            Self::NoRouter { .. } => "NoRouter",
            Self::TwoFloating { .. } => "TwoFloatingIPs",
            Self::NoMember { .. }
            | Self::MemberWithoutAddress { .. }
            | Self::MemberFamily { .. }
            | Self::MemberApart { .. } => "MemberLeftOut",
        }
    }
}

/// How many problems fit into a message before it tires the reader.
const TOLD_MAX: usize = 5;

/// All of them in one sentence.
pub fn told(problems: &[Problem]) -> String {
    let shown = problems.iter().take(TOLD_MAX).map(ToString::to_string);
    let shown = shown.collect::<Vec<_>>().join("; ");
    match problems.len().saturating_sub(TOLD_MAX) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// Whether another project's network is not there or only not shared is nobody else's business.
fn no_network(reference: &str) -> String {
    if reference.contains('/') {
        format!(
            "there is no network {reference:?} that is shared with this project: check the name, or ask its owner to add this project to spec.sharedWith"
        )
    } else {
        format!(
            "there is no network {reference:?} in this project: `kubectl get networks.kilonova.dev` lists what there is"
        )
    }
}

fn no_subnet(reference: &str) -> String {
    if reference.contains('/') {
        format!(
            "there is no subnet {reference:?} of a network that is shared with this project: check the name, or ask its owner to add this project to the network's spec.sharedWith"
        )
    } else {
        format!(
            "there is no subnet {reference:?} in this project: `kubectl get subnets` lists what there is"
        )
    }
}
