//! `Router`: what joins networks, and leads out of them.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{network::NetworkState, port::PortAddress, rule, subnet::Route, value::Reference};

/// Joins subnets, and leads out of them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Router",
    plural = "routers",
    namespaced,
    status = "RouterStatus",
    category = "kilonova",
    shortname = "krouter",
    doc = "Joins subnets, and leads out of them.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(
        name = "Gateway",
        type_ = "string",
        json_path = ".spec.externalGateway.network"
    ),
    printcolumn(
        name = "Addresses",
        type_ = "string",
        json_path = ".status.gateway.addresses[*].ip"
    ),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.gateway.node"),
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
#[serde(rename_all = "camelCase")]
pub struct RouterSpec {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The way to networks outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_gateway: Option<ExternalGateway>,
    /// The subnets that it joins, each once. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["subnet".into()]))]
    pub interfaces: Vec<RouterInterface>,
    /// Routes beside those to its subnets and by its external gateway. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub routes: Vec<Route>,
    /// Whether it passes packets. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// A router's way to networks outside.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalGateway {
    /// The external Network: `name`, or `project/name` for one that is shared with this project.
    #[schemars(with = "String", length(max = 317))]
    #[x_kube(validation = rule::reference("network must be the name of an external Network"))]
    pub network: Reference,
    /// Whether guests without a floating IP go out under the router's own address (IPv4 only). Default: `true`.
    #[serde(default = "yes")]
    pub snat: bool,
    /// The router's address in the external network that is wished for. Default: a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("address"))]
    pub address: Option<IpAddr>,
}

/// A router's address in a subnet.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RouterInterface {
    /// The Subnet: `name`, or `project/name` for one of a network that is shared with this project.
    #[schemars(with = "String", length(max = 317))]
    #[x_kube(validation = rule::reference("subnet must be the name of a Subnet"))]
    pub subnet: Reference,
    /// The router's address in it. Default: the subnet's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("address"))]
    pub address: Option<IpAddr>,
}

/// What is known of a router.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RouterStatus {
    /// The router's id, as OpenStack would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// OpenStack's word for how it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NetworkState>,
    /// The external gateway; its addresses, once there, stay as long as it is in that network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    /// Its addresses in its subnets, which are called as in the spec; once there, they stay as long as the spec wants them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub interfaces: Vec<PortAddress>,
    /// Those of its routes that hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub routes: Vec<Route>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (it routes), `Accepted` (its spec makes sense beside the others), `Realised` (OVN has it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What is known of a router's external gateway.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// The UID of the external network.
    pub network: String,
    /// The addresses in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub addresses: Vec<PortAddress>,
    /// The hypervisor that passes its packets now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The hypervisors that may, the preferred first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub candidates: Vec<String>,
}
