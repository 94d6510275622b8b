//! `SecurityGroup`: which packets may pass.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{address::Cidr, rule, value::wordless};

/// The name of the group that ports have which name none. The operator makes it for every project that needs it.
pub const DEFAULT: &str = "default";

/// Rules for the packets of those ports that have this group. What no rule allows is dropped.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "SecurityGroup",
    plural = "securitygroups",
    namespaced,
    status = "SecurityGroupStatus",
    category = "kilonova",
    shortname = "ksg",
    doc = "Rules for the packets of those ports that have this group. What no rule allows is dropped.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Stateful", type_ = "boolean", json_path = ".spec.stateful"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.rules"),
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
#[x_kube(validation = Rule::new("self.stateful == oldSelf.stateful").message("spec.stateful cannot be changed: make another group").field_path(".stateful"))]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupSpec {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Whether answers to what a rule allows pass by themselves. Default: `true`. Cannot be changed.
    #[serde(default = "yes")]
    pub stateful: bool,
    /// The rules, at most 256. None: nothing passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<SecurityRule>,
}

fn yes() -> bool {
    true
}

/// What may pass. Whatever a rule does not say, it does not ask for.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!has(self.ports) || has(self.protocol) && self.protocol in ['Tcp', 'Udp', 'Sctp']").message("only Tcp, Udp and Sctp have ports: say protocol, or leave ports away"))]
#[x_kube(validation = Rule::new("!has(self.icmp) || has(self.protocol) && self.protocol in ['Icmp', 'Icmpv6']").message("only Icmp and Icmpv6 have types and codes: say protocol, or leave icmp away"))]
#[x_kube(validation = Rule::new("!has(self.cidr) || !has(self.group)").message("a rule has cidr or group, not both"))]
#[x_kube(validation = Rule::new("!has(self.family) || !has(self.cidr) || !isCIDR(self.cidr) || (cidr(self.cidr).ip().family() == 4) == (self.family == 'IPv4')").message("family and cidr contradict each other"))]
#[x_kube(validation = Rule::new("!has(self.protocol) || !(self.protocol in ['Icmp', 'Icmpv6']) || !has(self.family) || (self.protocol == 'Icmp') == (self.family == 'IPv4')").message("Icmp is of IPv4, and Icmpv6 of IPv6"))]
#[x_kube(validation = Rule::new("!has(self.protocol) || !(self.protocol in ['Icmp', 'Icmpv6']) || !has(self.cidr) || !isCIDR(self.cidr) || (self.protocol == 'Icmp') == (cidr(self.cidr).ip().family() == 4)").message("Icmp is of IPv4, and Icmpv6 of IPv6: protocol and cidr contradict each other"))]
#[serde(rename_all = "camelCase")]
pub struct SecurityRule {
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub description: Option<String>,
    /// Whether it is about what comes to a port, or what goes from it.
    pub direction: Direction,
    /// Of which family. Default: both, or the one that `cidr` or `protocol` is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Of which protocol. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// To which ports. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRange>,
    /// Of which ICMP type. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpType>,
    /// From (or, for `Egress`, to) which addresses. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 43))]
    #[x_kube(validation = rule::cidr("cidr"))]
    pub cidr: Option<Cidr>,
    /// From (or, for `Egress`, to) the ports that have this SecurityGroup, which is of the same project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("group must be the name of a SecurityGroup of this project"))]
    pub group: Option<String>,
}

/// Which way packets go, as the guest sees it.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
#[schemars(transform = wordless)]
pub enum Direction {
    /// To the guest.
    Ingress,
    /// From the guest.
    Egress,
}

/// A family of addresses.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
#[schemars(transform = wordless)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IPv4")]
    Ipv4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    Ipv6,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// A protocol above IP.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
#[schemars(transform = wordless)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP, of IPv4.
    Icmp,
    /// ICMP of IPv6.
    Icmpv6,
}

/// Ports from one to another.
#[derive(
    Serialize, Deserialize, KubeSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[x_kube(validation = Rule::new("self.from <= self.to").message("ports are upside down: from must not be above to"))]
#[serde(rename_all = "camelCase")]
pub struct PortRange {
    /// The first, `1` to `65535`.
    #[schemars(range(min = 1, max = 65535))]
    pub from: u16,
    /// The last, `1` to `65535`.
    #[schemars(range(min = 1, max = 65535))]
    pub to: u16,
}

/// A type of ICMP messages.
#[derive(
    Serialize, Deserialize, KubeSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[serde(rename_all = "camelCase")]
pub struct IcmpType {
    /// The type's number, such as `8` for an echo request, `128` for one of IPv6.
    #[serde(rename = "type")]
    #[schemars(range(max = 255))]
    pub kind: u8,
    /// The code's number. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 255))]
    pub code: Option<u8>,
}

/// What is known of a security group.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupStatus {
    /// The group's id, as OpenStack would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How many rules it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u32>,
    /// How many ports have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (its rules hold), `Accepted` (its spec makes sense), `Realised` (OVN has it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
