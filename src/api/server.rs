//! `Server`: a virtual machine as its owner wishes it, and as it is.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    address::Mac,
    metadata::MetadataService,
    rule,
    value::{Reference, Size, wordless},
};

/// The most user data that a server takes, in bytes: 64 KiB of raw data. Nova bounds the base64 text instead (65535
/// bytes, and so 48 KiB of data): what Nova takes fits.
pub const USER_DATA_BYTES_MAX: usize = 65_536;

/// How long a guest may take to power off when the server does not say.
pub const DEFAULT_GRACE: std::time::Duration = std::time::Duration::from_mins(1);

/// A virtual machine.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Server",
    namespaced,
    status = "ServerStatus",
    category = "kilonova",
    category = "all",
    shortname = "kserver",
    doc = "A virtual machine.",
    derive = "PartialEq",
    selectable = ".status.node",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Flavor", type_ = "string", json_path = ".spec.flavor"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.node"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Addresses",
        type_ = "string",
        json_path = ".status.addresses[*].ip",
        priority = 1
    ),
    printcolumn(
        name = "Power",
        type_ = "string",
        json_path = ".status.powerState",
        priority = 1
    ),
    printcolumn(
        name = "Restarts",
        type_ = "integer",
        json_path = ".status.restarts",
        priority = 1
    ),
    printcolumn(name = "ID", type_ = "string", json_path = ".status.id", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("self.flavor == oldSelf.flavor").message("spec.flavor cannot be changed: delete the server and make another one").field_path(".flavor"))]
#[x_kube(validation = Rule::new("self.image == oldSelf.image").message("spec.image cannot be changed: delete the server and make another one").field_path(".image"))]
#[x_kube(validation = Rule::new("has(self.userData) == has(oldSelf.userData) && (!has(self.userData) || self.userData == oldSelf.userData)").message("spec.userData cannot be changed: guests read it once, at their first boot"))]
#[x_kube(validation = Rule::new("has(self.keyPairs) == has(oldSelf.keyPairs) && (!has(self.keyPairs) || self.keyPairs == oldSelf.keyPairs)").message("spec.keyPairs cannot be changed: guests read them once, at their first boot"))]
#[x_kube(validation = Rule::new("has(self.hostname) == has(oldSelf.hostname) && (!has(self.hostname) || self.hostname == oldSelf.hostname)").message("spec.hostname cannot be changed: guests read it once, at their first boot"))]
#[serde(rename_all = "camelCase")]
pub struct ServerSpec {
    /// What this server is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The name of the Flavor: how many virtual CPUs, how much memory and disk. Cannot be changed.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("flavor must be the name of a Flavor"))]
    pub flavor: String,
    /// The Image that the root disk starts from: `name`, or `project/name` for a public one. Cannot be changed.
    #[schemars(with = "String", length(max = 317))]
    #[x_kube(validation = Rule::new("self.matches(r'^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$')").message("image must be the name of an Image, or project/name for a public one: lower-case letters, digits, hyphens and dots"))]
    pub image: Reference,
    /// The NICs of the guest, in their order. Can be changed: NICs are plugged in and out while the guest runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(one, !has(one.port) || self.filter(other, has(other.port) && other.port == one.port).size() == 1)").message("two of networks name the same port"))]
    pub networks: Vec<ServerNetwork>,
    /// The KeyPairs that may log in, by name, at most 16. Read by the guest at its first boot. Cannot be changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(name, name.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))").message("keyPairs must be names of KeyPairs of this project: lower-case letters, digits, hyphens and dots"))]
    pub key_pairs: Vec<String>,
    /// What cloud-init does at the first boot: `#cloud-config`, a `#!` script, or anything else it knows; exactly one
    /// of `inline` and `secret`. At most 64 KiB. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<UserData>,
    /// The guest's host name. Default: the server's name, of which no more than 63 characters count between two dots.
    /// Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*$')").message("hostname must be a host name: letters, digits and hyphens, 63 at most between two dots"))]
    pub hostname: Option<String>,
    /// Whether the server shall run, be off, stand still in memory, or sleep on disk. Default: `Running`.
    #[serde(default)]
    pub power_state: PowerState,
    /// How the server is powered off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,
    /// What happens when the guest ends by itself while it should run. Default: `Always`.
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    /// Where the server may run. Looked at when it is placed; a running server stays where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// How the guest is served by the metadata service at 169.254.169.254, on networks that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_service: Option<MetadataService>,
}

/// One NIC of a server: exactly one of `network`, for which a Port is made, and `port`, one that is there.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("has(self.network) != has(self.port)").message("a NIC needs exactly one of network and port"))]
#[x_kube(validation = Rule::new("!has(self.port) || !has(self.name) && !has(self.addresses) && !has(self.securityGroups)").message("name, addresses and securityGroups are for a NIC with network: a port has its own"))]
#[serde(rename_all = "camelCase")]
pub struct ServerNetwork {
    /// The Network to make a Port on: `name`, or `project/name` for one that is shared with this project. The Port is
    /// called `server-name`, with the network's name at its end, and goes with its server or its NIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 317))]
    #[x_kube(validation = rule::reference("network must be the name of a Network"))]
    pub network: Option<Reference>,
    /// A Port of this project. It stays when the server or the NIC goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("port must be the name of a Port of this project"))]
    pub port: Option<String>,
    /// What stands for the network's name in the name of the Port that is made: for two NICs on one network. Default: the
    /// network's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = rule::name("name must be fit for the name of a Port"))]
    pub name: Option<String>,
    /// The addresses that the Port shall have, at most 8. Default: free ones. Looked at when the Port is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", length(max = 8), inner(length(max = 39)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(address, isIP(address))").message("addresses must be IP addresses of the network's subnets"))]
    pub addresses: Vec<IpAddr>,
    /// The SecurityGroups of this project that the Port has, at most 16. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(name, name.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))").message("securityGroups must be names of SecurityGroups of this project"))]
    pub security_groups: Option<Vec<String>>,
}

/// What cloud-init does at the first boot: exactly one of the fields.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("has(self.inline) != has(self.secret)").message("userData needs exactly one of inline and secret"))]
#[serde(rename_all = "camelCase")]
pub struct UserData {
    /// The text itself, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub inline: Option<String>,
    /// A key of a Secret of the same project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
}

/// One value of a Secret.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The Secret's name.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("secret.name must be the name of a Secret of this project"))]
    pub name: String,
    /// The key in it.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches(r'^[-._a-zA-Z0-9]+$')").message("secret.key must be a key of the Secret: letters, digits, hyphens, dots and underscores"))]
    pub key: String,
}

/// Whether a server shall run.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(transform = wordless)]
pub enum PowerState {
    /// On.
    #[default]
    Running,
    /// Off. The guest is asked to power off, and is cut off when it has not done so in `shutdown.grace`.
    Stopped,
    /// Standing still, in memory.
    Paused,
    /// Asleep: its memory is saved to the hypervisor's disk, and it holds no memory.
    Suspended,
}

/// How a server is powered off.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Shutdown {
    /// How long the guest may take to power off by itself, `0s` to `1h`; then it is cut off. Default: `60s`.
    #[x_kube(validation = rule::duration("shutdown.grace", "1h", "90s or 5m"))]
    #[schemars(schema_with = "duration_schema")]
    pub grace: Duration,
}

/// A duration as Go writes it. What is wrong with one is said by a rule of its field.
pub(super) fn duration_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "maxLength": 64,
    })
}

/// What happens when a guest ends by itself while it should run.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// It is started again, whatever the reason.
    #[default]
    Always,
    /// It is started again when it failed; a guest that powered itself off stays off.
    OnFailure,
    /// It stays off.
    Never,
}

/// Where a server may run.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Labels that the Kubernetes node must carry, each with this value. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 16), extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    #[x_kube(validation = Rule::new("self.all(label, size(label) <= 317)").message("nodeSelector names a label that is longer than Kubernetes' labels, 317 characters"))]
    pub node_selector: BTreeMap<String, String>,
}

/// What is known of a server.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The server's id, as OpenStack would write it; also the UUID of its libvirt domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// OpenStack's word for where the server stands (Compute API guide, "Server concepts"). `DELETING` is our own:
    /// OpenStack has a task for it, and no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ServerState>,
    /// What the guest does, as the hypervisor sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// The hypervisor that the server is bound to. Together with `epoch` and `allocated`, this is its claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Counts the server's bindings: a hypervisor runs a guest only under its newest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// What the server takes of its hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<Resources>,
    /// When the guest was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// How often the guest was started again after it had ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i64>,
    /// Its NICs' addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub addresses: Vec<ServerAddress>,
    /// What went wrong last, if something did that needs somebody to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (the server is as its spec asks), `Resolved` (everything it names is there), `Scheduled` (it has a
    /// hypervisor), `NetworkReady` (its NICs are plugged in and their ports are ready), `StorageReady` (its disk is there),
    /// `Running` (the guest runs), `Stalled` (somebody must act).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An address of a server.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServerAddress {
    /// The Network, as `project/name`.
    pub network: String,
    /// The Port.
    pub port: String,
    /// The NIC's MAC address.
    #[schemars(with = "String")]
    pub mac: Mac,
    /// The address.
    #[schemars(with = "String")]
    pub ip: IpAddr,
}

/// What a server takes of its hypervisor, or what a hypervisor has.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Virtual CPUs of a server; threads of a hypervisor.
    pub vcpus: u16,
    /// Memory.
    pub memory: Size,
    /// The root disk of a server; what a hypervisor has for root disks.
    pub disk: Size,
}

/// What went wrong.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// One sentence.
    pub message: String,
    /// When it was first seen.
    pub time: Time,
}

/// OpenStack's words for where a server stands (Compute API guide, "Server concepts"), and one of ours.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(transform = wordless)]
pub enum ServerState {
    /// Not running for the first time yet.
    Build,
    /// Running.
    Active,
    /// Off.
    Shutoff,
    /// Standing still, in memory.
    Paused,
    /// Asleep on disk.
    Suspended,
    /// A soft reboot is under way.
    Reboot,
    /// A hard reboot is under way.
    HardReboot,
    /// Somebody must act: see `fault`.
    Error,
    /// Being deleted.
    Deleting,
}

impl ServerState {
    /// Every state, in the order of a server's life.
    pub const ALL: [Self; 9] = [
        Self::Build,
        Self::Active,
        Self::Shutoff,
        Self::Paused,
        Self::Suspended,
        Self::Reboot,
        Self::HardReboot,
        Self::Error,
        Self::Deleting,
    ];

    /// The word that kubectl shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "BUILD",
            Self::Active => "ACTIVE",
            Self::Shutoff => "SHUTOFF",
            Self::Paused => "PAUSED",
            Self::Suspended => "SUSPENDED",
            Self::Reboot => "REBOOT",
            Self::HardReboot => "HARD_REBOOT",
            Self::Error => "ERROR",
            Self::Deleting => "DELETING",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_one_word() {
        for state in ServerState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
