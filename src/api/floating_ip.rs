//! `FloatingIP`: an address outside that leads to a server inside.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{network::NetworkState, port::PortAddress, rule, value::Reference};

/// An address of an external network that leads to a server, and that the server goes out with.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "FloatingIP",
    plural = "floatingips",
    namespaced,
    status = "FloatingIPStatus",
    category = "kilonova",
    shortname = "kfip",
    doc = "An address of an external network that leads to a server, and that the server goes out with.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address.ip"),
    printcolumn(name = "Port", type_ = "string", json_path = ".status.port"),
    printcolumn(name = "Fixed", type_ = "string", json_path = ".status.fixedAddress"),
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
#[x_kube(validation = Rule::new("self.network == oldSelf.network").message("spec.network cannot be changed: make another floating IP").field_path(".network"))]
#[x_kube(validation = Rule::new("has(self.address) == has(oldSelf.address) && (!has(self.address) || self.address == oldSelf.address)").message("spec.address cannot be changed: make another floating IP"))]
#[x_kube(validation = Rule::new("(has(self.port) ? 1 : 0) + (has(self.server) ? 1 : 0) + (has(self.loadBalancer) ? 1 : 0) <= 1").message("a floating IP is on a port, a server or a load balancer, not on several"))]
#[serde(rename_all = "camelCase")]
pub struct FloatingIPSpec {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The external Network: `name`, or `project/name` for one that is shared with this project. Cannot be changed.
    #[schemars(with = "String", length(max = 317))]
    #[x_kube(validation = rule::reference("network must be the name of an external Network"))]
    pub network: Reference,
    /// The address that is wished for. Default: a free one. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("address"))]
    pub address: Option<IpAddr>,
    /// The Port of this project that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("port must be the name of a Port of this project"))]
    pub port: Option<String>,
    /// The Server of this project that it leads to: to its first port that a router joins with the external network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("server must be the name of a Server of this project"))]
    pub server: Option<String>,
    /// The LoadBalancer of this project that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("loadBalancer must be the name of a LoadBalancer of this project"))]
    pub load_balancer: Option<String>,
    /// Which of the port's addresses it leads to. Default: the first of IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("fixedAddress"))]
    pub fixed_address: Option<IpAddr>,
}

/// What is known of a floating IP. `address`, once there, stays for its whole life: this is its claim on it.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FloatingIPStatus {
    /// The floating IP's id, as OpenStack would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// OpenStack's word for how it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NetworkState>,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<PortAddress>,
    /// The Port that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The address that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub fixed_address: Option<IpAddr>,
    /// The Router that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<String>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (it leads where it should), `Allocated` (it has its address), `Realised` (OVN has it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
