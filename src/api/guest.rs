//! `Guest`: a server as its node is told of it. Internal: the operator writes it, the node's agent obeys.
//!
//! A guest is complete: the agent needs nothing else than it and the seed Secret beside it.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    address::Mac,
    flavor::{Firmware, Machine},
    image::DiskFormat,
    metadata::MetadataTokens,
    server::{PowerState, RestartPolicy},
    server_action::{ActionState, Verb},
    value::{Sha256, Size},
};

/// The finalizer by which an agent holds a guest until nothing of it is left on the node.
pub const FINALIZER: &str = "kilonova.dev/agent";

/// The key of a seed Secret that holds cloud-init's `user-data`.
pub const SEED_USER_DATA: &str = "user-data";

/// The key of a seed Secret that holds cloud-init's `meta-data`.
pub const SEED_META_DATA: &str = "meta-data";

/// The key of a seed Secret that holds cloud-init's `network-config`, if the server has networks.
pub const SEED_NETWORK_CONFIG: &str = "network-config";

/// The most NICs that a guest has.
pub const NICS_MAX: u32 = 16;

/// A server as its node is told of it. Internal: made by the operator from a Server, obeyed by the node's agent.
/// Change the Server instead.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Guest",
    namespaced,
    status = "GuestStatus",
    category = "kilonova-internal",
    shortname = "kguest",
    doc = "A server as its node is told of it. Internal: made by the operator from a Server, obeyed by the node's agent. Change the Server instead.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Power", type_ = "string", json_path = ".status.power"),
    printcolumn(
        name = "Project",
        type_ = "string",
        json_path = ".spec.server.namespace"
    ),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.server.name"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".spec.epoch"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct GuestSpec {
    /// The server that this is.
    pub server: ServerIdentity,
    /// The binding under which the node runs it.
    pub epoch: i64,
    /// What the guest shall do.
    pub power: PowerState,
    /// What happens when it ends by itself.
    pub restart_policy: RestartPolicy,
    /// How long it may take to power off, in seconds.
    pub shutdown_grace_seconds: u32,
    /// Virtual CPUs.
    pub vcpus: u16,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// CPU model by libvirt's name; absent: the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub cpu_model: Option<String>,
    /// The board.
    pub machine: Machine,
    /// The firmware.
    pub firmware: Firmware,
    /// Whether UEFI starts signed boot loaders only.
    pub secure_boot: bool,
    /// Whether there is a virtual TPM 2.0.
    pub tpm: bool,
    /// The root disk.
    pub root_disk: RootDisk,
    /// The NICs, in the order in which the guest finds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub nics: Vec<Nic>,
    /// The Secret beside this guest that holds the NoCloud seed.
    #[schemars(length(max = 253))]
    pub seed_secret: String,
    /// Whether the guest's requests to the metadata service must carry a session token.
    #[serde(default)]
    pub metadata_tokens: MetadataTokens,
    /// Something to do once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<GuestAction>,
    /// Whether the server is gone for good. Only then does deletion of this object end the guest and delete its
    /// disk: an object deleted by hand, or with its namespace, harms nobody.
    #[serde(default)]
    pub retired: bool,
}

/// Which server a guest is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ServerIdentity {
    /// Its project.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID; also the UUID of the libvirt domain and the name of the Guest.
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    )]
    pub uid: String,
}

/// A NIC: one port of one network.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// The UID of the Port; also the name of the logical switch port that the node's switch binds.
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    )]
    pub port: String,
    /// The Port's name, for messages.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The UID of the Network.
    #[schemars(length(max = 36))]
    pub network: String,
    /// The MAC address.
    #[schemars(with = "String", length(max = 17))]
    pub mac: Mac,
    /// The largest packet, in bytes.
    pub mtu: u16,
    /// The addresses, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", length(max = 8), inner(length(max = 39)))]
    pub addresses: Vec<IpAddr>,
    /// Whether the node's switch keeps the guest from playing router on this port. Default: `true`.
    #[serde(default = "yes")]
    pub port_security: bool,
}

fn yes() -> bool {
    true
}

/// A root disk: a thin overlay over an image.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RootDisk {
    /// Size that the guest sees.
    pub size: Size,
    /// The image below it.
    pub image: ImageContent,
}

/// An image by its content, and where to get it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageContent {
    /// The image's name, for messages: `project/name`.
    #[schemars(length(max = 317))]
    pub name: String,
    /// Where to get it.
    #[schemars(length(max = 2048))]
    pub url: String,
    /// Digest of the file.
    pub sha256: Sha256,
    /// The declared format.
    pub format: DiskFormat,
}

/// Something to do to a guest once.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GuestAction {
    /// The UID of the ServerAction.
    #[schemars(length(max = 36))]
    pub id: String,
    /// What to do.
    pub verb: Verb,
}

/// What an agent says of a guest.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GuestStatus {
    /// What the guest does; absent before there is a domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
    /// When the guest was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the guest was asked to power off; absent unless it is doing so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping_since: Option<Time>,
    /// How often it was started again after it had ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i64>,
    /// The UIDs of the Ports whose NICs are plugged in: of a guest that runs those that it sees, of one that is off those
    /// that it will see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 36)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub nics: Vec<String>,
    /// What became of the last action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionRecord>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (the guest is as its spec asks), `StorageReady` (its disk is there), `NetworkReady` (its NICs are plugged in,
    /// and no others), `Running`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What became of an action.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ActionRecord {
    /// The UID of the ServerAction.
    pub id: String,
    /// Where it stands.
    pub state: ActionState,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
