//! `Subnet`: the addresses of a network.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{address::Cidr, rule, value::wordless};

/// Addresses of a network, and what guests are told with them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Subnet",
    plural = "subnets",
    namespaced,
    status = "SubnetStatus",
    category = "kilonova",
    shortname = "ksubnet",
    doc = "Addresses of a network, and what guests are told with them.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(name = "CIDR", type_ = "string", json_path = ".spec.cidr"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".status.gateway"),
    printcolumn(name = "Free", type_ = "string", json_path = ".status.free"),
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
#[x_kube(validation = Rule::new("self.network == oldSelf.network").message("spec.network cannot be changed: make another subnet").field_path(".network"))]
#[x_kube(validation = Rule::new("self.cidr == oldSelf.cidr").message("spec.cidr cannot be changed: make another subnet").field_path(".cidr"))]
#[x_kube(validation = Rule::new("has(self.ipv6Mode) == has(oldSelf.ipv6Mode) && (!has(self.ipv6Mode) || self.ipv6Mode == oldSelf.ipv6Mode)").message("spec.ipv6Mode cannot be changed: make another subnet"))]
#[x_kube(validation = Rule::new("has(self.gateway) == has(oldSelf.gateway) && (!has(self.gateway) || self.gateway == oldSelf.gateway)").message("spec.gateway cannot be changed: make another subnet"))]
#[x_kube(validation = Rule::new("!has(self.gateway) || self.gateway == 'None' || !isCIDR(self.cidr) || !isIP(self.gateway) || cidr(self.cidr).containsIP(self.gateway)").message("gateway must be an address of the subnet's cidr, or None").field_path(".gateway"))]
#[x_kube(validation = Rule::new("!has(self.pools) || !isCIDR(self.cidr) || self.pools.all(pool, !isIP(pool.start) || !isIP(pool.end) || cidr(self.cidr).containsIP(pool.start) && cidr(self.cidr).containsIP(pool.end))").message("pools must lie in the subnet's cidr").field_path(".pools"))]
#[x_kube(validation = Rule::new("!has(self.ipv6Mode) || !isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 6").message("ipv6Mode is for a subnet of IPv6").field_path(".ipv6Mode"))]
#[x_kube(validation = Rule::new("!isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 4 || has(self.ipv6Mode) && self.ipv6Mode != 'Slaac' || cidr(self.cidr).prefixLength() == 64").message("a subnet of IPv6 whose guests make their own addresses (ipv6Mode: Slaac, the default) has a prefix length of 64 (RFC 4862, section 5.5.3)").field_path(".cidr"))]
#[serde(rename_all = "camelCase")]
pub struct SubnetSpec {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The name of the Network, which is of the same project. Cannot be changed.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("network must be the name of a Network of this project"))]
    pub network: String,
    /// The addresses: a prefix of IPv4, `/8` to `/30`, or of IPv6, `/32` to `/126`. Cannot be changed.
    #[schemars(with = "String", length(max = 43))]
    #[x_kube(validation = rule::cidr("cidr"))]
    #[x_kube(validation = Rule::new("!isCIDR(self) || (cidr(self).ip().family() == 4 ? cidr(self).prefixLength() >= 8 && cidr(self).prefixLength() <= 30 : cidr(self).prefixLength() >= 32 && cidr(self).prefixLength() <= 126)").message("cidr must have a prefix length between 8 and 30, or between 32 and 126 for IPv6"))]
    pub cidr: Cidr,
    /// The address of the way out, which a router that is connected takes; `None` for a subnet without one. Default: the
    /// first address. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 39))]
    #[x_kube(validation = Rule::new("self == 'None' || isIP(self)").message("gateway must be an IP address of the subnet, or None"))]
    pub gateway: Option<String>,
    /// The addresses that are given out. Default: all but the gateway. At most 16; they must not overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub pools: Vec<Pool>,
    /// Whether guests are told their addresses by DHCP (and, for IPv6, router advertisements). Default: `true`.
    #[serde(default = "yes")]
    pub dhcp: bool,
    /// How guests come to their IPv6 addresses. Default: `Slaac`. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_mode: Option<Ipv6Mode>,
    /// The DNS servers that guests are told of, at most 8. Names of servers of the network are answered in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", length(max = 8), inner(length(max = 39)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(server, isIP(server))").message("dns must be IP addresses of DNS servers, such as 9.9.9.9"))]
    pub dns: Vec<IpAddr>,
    /// Routes that guests are told of beside the one by the gateway. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub routes: Vec<Route>,
}

fn yes() -> bool {
    true
}

/// A range of addresses.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!isIP(self.start) || !isIP(self.end) || ip(self.start).family() == ip(self.end).family()").message("a pool's start and end must be of one family"))]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// The first address.
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("start"))]
    pub start: IpAddr,
    /// The last address.
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("end"))]
    pub end: IpAddr,
}

/// A way to other addresses.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Where to.
    #[schemars(with = "String", length(max = 43))]
    #[x_kube(validation = rule::cidr("to"))]
    pub to: Cidr,
    /// The next hop.
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("via"))]
    pub via: IpAddr,
}

/// How guests come to their IPv6 addresses (OpenStack's `ipv6_ra_mode` and `ipv6_address_mode`). Routers tell them.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(transform = wordless)]
pub enum Ipv6Mode {
    /// They make them of the prefix and their MAC address (RFC 4862).
    #[default]
    Slaac,
    /// As with `Slaac`, and DHCPv6 tells the rest, such as DNS servers (RFC 8415, section 6.1).
    DhcpStateless,
    /// DHCPv6 tells them (RFC 8415, section 6.2).
    DhcpStateful,
}

/// What is known of a subnet.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SubnetStatus {
    /// The subnet's id, as OpenStack would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The address of the way out; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub gateway: Option<IpAddr>,
    /// How many addresses are free to be given out; for IPv6 mostly a very large number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<String>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (it is there), `Accepted` (its spec makes sense beside the others).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
