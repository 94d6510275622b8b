//! `LoadBalancer`: one address for several servers.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{network::NetworkState, port::PortAddress, rule, value::wordless};

/// One address for several servers. Each connection goes to one of them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "LoadBalancer",
    plural = "loadbalancers",
    namespaced,
    status = "LoadBalancerStatus",
    category = "kilonova",
    shortname = "klb",
    doc = "One address for several servers. Each connection goes to one of them.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address.ip"),
    printcolumn(name = "Online", type_ = "integer", json_path = ".status.online"),
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.total"),
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
#[x_kube(validation = Rule::new("self.subnet == oldSelf.subnet").message("spec.subnet cannot be changed: make another load balancer").field_path(".subnet"))]
#[x_kube(validation = Rule::new("has(self.address) == has(oldSelf.address) && (!has(self.address) || self.address == oldSelf.address)").message("spec.address cannot be changed: make another load balancer"))]
#[x_kube(validation = Rule::new("self.listeners.all(listener, self.pools.exists(pool, pool.name == listener.pool))").message("a listener names a pool that spec.pools does not have").field_path(".listeners"))]
#[x_kube(validation = Rule::new("self.listeners.all(one, self.listeners.filter(other, other.protocol == one.protocol && other.port == one.port).size() == 1)").message("two listeners have the same protocol and port").field_path(".listeners"))]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerSpec {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The name of the Subnet of this project that its address is in. Cannot be changed.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("subnet must be the name of a Subnet of this project"))]
    pub subnet: String,
    /// The address that is wished for. Default: a free one. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("address"))]
    pub address: Option<IpAddr>,
    /// Where it listens. At most 16.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub listeners: Vec<Listener>,
    /// Who answers. At most 16.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pools: Vec<MemberPool>,
}

/// Where a load balancer listens.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its protocol.
    pub protocol: ListenerProtocol,
    /// Its port, `1` to `65535`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The name of the pool that answers.
    #[schemars(length(max = 63))]
    pub pool: String,
}

/// A protocol that a load balancer speaks.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(transform = wordless)]
pub enum ListenerProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Those among whom connections are spread.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MemberPool {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How a connection's member is chosen. Default: `SourceIpPort`.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self in ['SourceIpPort', 'SourceIp']").message("OVN spreads connections by a hash, without counting them: it has neither RoundRobin nor LeastConnections; use SourceIpPort, which spreads evenly, or SourceIp, which keeps a client with its member"))]
    pub algorithm: Algorithm,
    /// Its members. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub members: Vec<Member>,
    /// How it is found out who lives. Default: everybody is taken to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
}

/// How a connection's member is chosen (OpenStack's `lb_algorithm`).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(transform = wordless)]
pub enum Algorithm {
    /// By a hash of both sides' addresses and ports, and the protocol.
    #[default]
    SourceIpPort,
    /// By a hash of the addresses: a client stays with its member.
    SourceIp,
    /// One after the other. OVN has it not.
    RoundRobin,
    /// The one with the fewest connections. OVN has it not.
    LeastConnections,
}

/// Somebody who answers: a server, a port or an address.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("(has(self.server) ? 1 : 0) + (has(self.portName) ? 1 : 0) + (has(self.address) ? 1 : 0) == 1").message("a member is exactly one of server, portName and address"))]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// A Server of this project: its address in the load balancer's network, or else its first of the same family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("server must be the name of a Server of this project"))]
    pub server: Option<String>,
    /// A Port of this project, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("portName must be the name of a Port of this project"))]
    pub port_name: Option<String>,
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 39))]
    #[x_kube(validation = rule::ip("address"))]
    pub address: Option<IpAddr>,
    /// The port that it listens on, `1` to `65535`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// How it is found out who lives: by a connection (TCP), or by whether a packet is refused (UDP).
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// How often, `1s` to `1h`. Default: `5s`.
    #[serde(default = "five_seconds")]
    #[x_kube(validation = rule::duration("healthCheck.interval", "1h", "5s or 1m"))]
    #[schemars(schema_with = "super::server::duration_schema")]
    pub interval: Duration,
    /// How long an answer may take, `1s` to `1h`. Default: `3s`.
    #[serde(default = "three_seconds")]
    #[x_kube(validation = rule::duration("healthCheck.timeout", "1h", "3s or 10s"))]
    #[schemars(schema_with = "super::server::duration_schema")]
    pub timeout: Duration,
    /// How many answers in a row make a dead member live. Default: `3`.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    pub rise: u8,
    /// How many failures in a row make a living member dead. Default: `3`.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    pub fall: u8,
}

fn five_seconds() -> Duration {
    std::time::Duration::from_secs(5).into()
}

fn three_seconds() -> Duration {
    std::time::Duration::from_secs(3).into()
}

fn three() -> u8 {
    3
}

/// What is known of a load balancer. `address`, once there, stays for its whole life: this is its claim on it.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerStatus {
    /// The load balancer's id, as OpenStack would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// OpenStack's word for how it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NetworkState>,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<PortAddress>,
    /// The addresses that questions about the health of members come from, one in each of their subnets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub monitors: Vec<PortAddress>,
    /// How many members there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// How many of them live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<u32>,
    /// Each member, and whether it lives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub members: Vec<MemberStatus>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (it answers), `Allocated` (it has its address), `Accepted` (its spec makes sense), `Realised` (OVN has it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How a member of a load balancer stands.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The pool.
    pub pool: String,
    /// The member, as the spec names it.
    pub member: String,
    /// Its address; absent while it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ip: Option<IpAddr>,
    /// Whether it lives, in OpenStack's words: `ONLINE`, `OFFLINE`, `ERROR` if it is left out, or `NO_MONITOR` without a health
    /// check. Absent while nobody has found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
