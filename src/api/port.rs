//! `Port`: where a network and a server meet.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    address::{Cidr, Mac},
    network::NetworkState,
    rule,
    value::Reference,
};

/// The finalizer by which the operator holds a port that a server uses.
pub const FINALIZER: &str = "kilonova.dev/port";

/// The label of ports that the operator made for a server's networks; its value is the server's UID.
pub const OF_SERVER_LABEL: &str = "kilonova.dev/server";

/// A plug of a network, with its addresses, for one NIC of a server.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Port",
    plural = "ports",
    namespaced,
    status = "PortStatus",
    category = "kilonova",
    shortname = "kport",
    doc = "A plug of a network, with its addresses, for one NIC of a server.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(
        name = "Addresses",
        type_ = "string",
        json_path = ".status.addresses[*].ip"
    ),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.server"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.node"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(name = "ID", type_ = "string", json_path = ".status.id", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("self.network == oldSelf.network").message("spec.network cannot be changed: make another port").field_path(".network"))]
#[x_kube(validation = Rule::new("has(self.mac) == has(oldSelf.mac) && (!has(self.mac) || self.mac == oldSelf.mac)").message("spec.mac cannot be changed: make another port"))]
#[x_kube(validation = Rule::new("has(self.addresses) == has(oldSelf.addresses) && (!has(self.addresses) || self.addresses == oldSelf.addresses)").message("spec.addresses cannot be changed: a port keeps its addresses for its whole life; make another port"))]
#[serde(rename_all = "camelCase")]
pub struct PortSpec {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The Network: `name`, or `project/name` for one that is shared with this project. Cannot be changed.
    #[schemars(with = "String", length(max = 317))]
    #[x_kube(validation = rule::reference("network must be the name of a Network"))]
    pub network: Reference,
    /// The addresses that are wished for, at most 8. Default: one of each family that the network has subnets of. Cannot be
    /// changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub addresses: Vec<AddressWish>,
    /// The MAC address. Default: one is made. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 17))]
    #[x_kube(validation = rule::mac("mac"))]
    pub mac: Option<Mac>,
    /// The SecurityGroups of this project whose rules hold, at most 16; an empty list: no packet passes but DHCP, ARP and
    /// neighbour discovery. Default: the group `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(name, name.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))").message("securityGroups must be names of SecurityGroups of this project"))]
    pub security_groups: Option<Vec<String>>,
    /// Whether the guest may only send from the port's own addresses, and security groups hold. Default: as the network
    /// says. `false` only on a network of the same project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_security: Option<bool>,
    /// Further addresses that the guest may send from, such as one that it shares with another by VRRP. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// Limits of bandwidth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Qos>,
    /// Whether packets pass at all. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// An address that is wished for: in which subnet, which one, or both.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("has(self.subnet) || has(self.ip)").message("an address needs subnet, ip or both"))]
#[serde(rename_all = "camelCase")]
pub struct AddressWish {
    /// The name of a Subnet of the network. Default: the one that `ip` is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("subnet must be the name of a Subnet of the network"))]
    pub subnet: Option<String>,
    /// The address. Default: a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("ip"))]
    pub ip: Option<IpAddr>,
}

/// Addresses that a guest may send from.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AddressPair {
    /// The address, or prefix.
    #[schemars(with = "String", length(max = 43))]
    #[x_kube(validation = Rule::new("isIP(self) || isCIDR(self) && cidr(self).masked() == cidr(self)").message("ip must be an IP address, or a prefix without bits behind it"))]
    pub ip: String,
    /// The MAC address that goes with it. Default: the port's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 17))]
    #[x_kube(validation = rule::mac("mac"))]
    pub mac: Option<Mac>,
}

impl AddressPair {
    /// The address or prefix; none, if it is not one, which its schema rules out.
    pub fn prefix(&self) -> Option<Cidr> {
        let whole = || {
            let address: IpAddr = self.ip.parse().ok()?;
            Cidr::containing(address, super::address::bits(address))
        };
        self.ip.parse().ok().or_else(whole)
    }
}

/// Limits of bandwidth of one port.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Qos {
    /// Of what the guest receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Bandwidth>,
    /// Of what the guest sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Bandwidth>,
}

/// A limit of bandwidth (OpenStack's bandwidth limit rule).
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// 1,000 bits a second, `64` to `1000000000`.
    #[schemars(range(min = 64, max = 1_000_000_000))]
    pub max_kbps: u32,
    /// How many 1,000 bits may pass at once after a silence. Default: 80 % of what passes in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_burst_kbits: Option<u32>,
}

/// What is known of a port. `mac` and `addresses`, once there, stay for the port's whole life: this is its claim on them.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PortStatus {
    /// The port's id, as OpenStack would write it; also the name of the logical switch port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// OpenStack's word for how it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NetworkState>,
    /// The MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mac: Option<Mac>,
    /// The addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub addresses: Vec<PortAddress>,
    /// The UID of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The largest packet, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Whether port security holds, as port and network say together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_security: Option<bool>,
    /// The Server of the same project that uses it. Nobody else can then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The hypervisor that the server is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (its server can use it), `Allocated` (it has its addresses), `Realised` (the flows are on its node).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An address of a port.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PortAddress {
    /// The name of the Subnet, which is in the network's project; of a router's interface, as its spec calls it.
    #[schemars(length(max = 317))]
    pub subnet: String,
    /// The address.
    #[schemars(with = "String", length(max = 39))]
    pub ip: IpAddr,
}
