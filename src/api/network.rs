//! `Network`: a layer 2 network of a project, or one that its administrators have outside of the cloud.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::wordless;

/// The least MTU that a network can have: IPv6 works with no less (RFC 8200, section 5).
pub const MTU_MIN: u16 = 1280;

/// The word that shares a network with every project.
pub const EVERYBODY: &str = "*";

/// A network that servers are plugged into.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Network",
    plural = "networks",
    namespaced,
    status = "NetworkStatus",
    category = "kilonova",
    shortname = "knet",
    doc = "A network that servers are plugged into.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "MTU", type_ = "integer", json_path = ".status.mtu"),
    printcolumn(name = "External", type_ = "boolean", json_path = ".spec.external"),
    printcolumn(name = "Ports", type_ = "integer", json_path = ".status.ports"),
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
#[x_kube(validation = Rule::new("has(self.provider) == has(oldSelf.provider) && (!has(self.provider) || self.provider == oldSelf.provider)").message("spec.provider cannot be changed: make another network"))]
#[x_kube(validation = Rule::new("!has(self.external) || !self.external || has(self.provider)").message("an external network needs spec.provider: which physical network it is"))]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The largest packet, in bytes, `1280` to `9216`. Default: as large as the hosts' own network carries, less what
    /// encapsulation takes; `1500` for a network with `provider`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1280, max = 9216))]
    pub mtu: Option<u16>,
    /// Whether ports of this network may only send from their own addresses, and have security groups; a port can say
    /// otherwise. Default: `true`.
    #[serde(default = "yes")]
    pub port_security: bool,
    /// The projects that may plug their servers and routers into this network by the name `project/network`; `*` for
    /// every project. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(project, project == '*' || project.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))").message("sharedWith must be names of projects, or * for every project"))]
    pub shared_with: Vec<String>,
    /// The physical network that this network is. Needs an administrator's right. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Whether routers may have their gateway, and floating IPs their address, in it. Needs `provider`.
    #[serde(default)]
    pub external: bool,
}

fn yes() -> bool {
    true
}

/// A physical network.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Its name in the `ovn-bridge-mappings` of the hosts that reach it.
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self.matches(r'^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$')").message("physicalNetwork must be a name in the hosts' ovn-bridge-mappings: letters, digits, hyphens, dots and underscores"))]
    pub physical_network: String,
    /// The VLAN, `1` to `4094`. Default: untagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub vlan: Option<u16>,
}

/// What is known of a network.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// The network's id, as OpenStack would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// OpenStack's word for how it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NetworkState>,
    /// The largest packet, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Its subnets, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub subnets: Vec<String>,
    /// How many ports are on it, from whatever project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (it is there), `Accepted` (its spec makes sense beside the others), `Realised` (OVN has it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// OpenStack's words for how a network, a port, a router, a floating IP or a load balancer stands (Networking API v2.0).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(transform = wordless)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NetworkState {
    /// It is being made.
    Build,
    /// It works.
    Active,
    /// It is there, and nothing uses it, or it does not work now.
    Down,
    /// Somebody must act: see the conditions.
    Error,
}
