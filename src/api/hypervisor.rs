//! `Hypervisor`: a node that servers run on: what it has, and what administrators allow.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    flavor::Machine,
    image::CachedImage,
    rule,
    server::Resources,
    value::{Size, wordless},
};

/// A node that servers run on. Made by the operator for every Kubernetes node labelled
/// `kilonova.dev/hypervisor=true`; its name and labels are the node's. The spec is the administrator's.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Hypervisor",
    status = "HypervisorStatus",
    category = "kilonova",
    shortname = "khv",
    doc = "A node that servers run on. Made by the operator for every Kubernetes node labelled kilonova.dev/hypervisor=true; its name and labels are the node's. The spec is the administrator's.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Schedulable",
        type_ = "boolean",
        json_path = ".spec.schedulable"
    ),
    printcolumn(
        name = "VCPUs",
        type_ = "integer",
        json_path = ".status.capacity.vcpus"
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".status.capacity.memory"
    ),
    printcolumn(name = "Disk", type_ = "string", json_path = ".status.capacity.disk"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Virt",
        type_ = "string",
        json_path = ".status.virtType",
        priority = 1
    ),
    printcolumn(
        name = "CPU",
        type_ = "string",
        json_path = ".status.cpu.model",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct HypervisorSpec {
    /// Whether new servers may come here. Servers that are here stay. Default: true.
    #[serde(default = "yes")]
    pub schedulable: bool,
    /// How much is promised to servers, in percent of what is there.
    #[serde(default)]
    pub overcommit: Overcommit,
    /// What is kept back for the host itself.
    #[serde(default)]
    pub reserved: Reserved,
}

const fn yes() -> bool {
    true
}

/// How much more of each resource is promised to servers than is there, in percent of what is there.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Overcommit {
    /// Virtual CPUs, 1 to 10000. Default: 400, four virtual CPUs for each thread of the host.
    #[schemars(range(min = 1, max = 10000))]
    pub cpu_percent: u32,
    /// Memory, 1 to 1000. Default: 100, no more than there is.
    #[schemars(range(min = 1, max = 1000))]
    pub memory_percent: u32,
    /// Disk, 1 to 10000. Default: 100, no more than there is.
    #[schemars(range(min = 1, max = 10000))]
    pub disk_percent: u32,
}

impl Default for Overcommit {
    fn default() -> Self {
        Self {
            cpu_percent: 400,
            memory_percent: 100,
            disk_percent: 100,
        }
    }
}

/// What is kept back for the host itself.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Reserved {
    /// Memory that no server is given, e.g. `2Gi`. Default: `512Mi`.
    #[serde(default = "reserved_memory")]
    #[schemars(schema_with = "super::value::size_in_words")]
    #[x_kube(validation = rule::size("reserved.memory", "512Mi", Size::bytes(0), Size::gib(1 << 20)))]
    pub memory: Size,
    /// Disk that no server is given, e.g. `20Gi`. Default: `1Gi`.
    #[serde(default = "reserved_disk")]
    #[schemars(schema_with = "super::value::size_in_words")]
    #[x_kube(validation = rule::size("reserved.disk", "1Gi", Size::bytes(0), Size::gib(1 << 20)))]
    pub disk: Size,
}

impl Default for Reserved {
    fn default() -> Self {
        Self {
            memory: reserved_memory(),
            disk: reserved_disk(),
        }
    }
}

const fn reserved_memory() -> Size {
    Size::mib(512)
}

const fn reserved_disk() -> Size {
    Size::gib(1)
}

/// What is known of a hypervisor. All but the condition `Ready` is the node agent's word.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HypervisorStatus {
    /// What the host has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Resources>,
    /// The host's processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<HostCpu>,
    /// The host's NUMA nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub numa: Vec<NumaNode>,
    /// The architecture of guests, such as `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How guests run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virt_type: Option<VirtType>,
    /// What the host offers to guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers: Option<Offers>,
    /// What runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// Where the host stands in the cloud's network; absent while Open vSwitch does not answer there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<HypervisorNetwork>,
    /// The images in the host's cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["sha256".into(), "format".into()]))]
    pub images: Vec<CachedImage>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: servers can run here. It needs `LibvirtReady` (libvirt answers, and can run guests) and `StorageReady` (disks
    /// can be made). Servers with networks also need `NetworkReady` (the host has its place in OVN), which needs
    /// `OpenVswitchReady` (Open vSwitch answers). For information: `KvmReady` (guests can run with the processor's help; else
    /// they are emulated). The message of one that does not hold says what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The host's processors.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HostCpu {
    /// libvirt's name for the model.
    pub model: String,
    /// Who made it.
    pub vendor: String,
    /// Sockets.
    pub sockets: u32,
    /// Cores in each socket.
    pub cores: u32,
    /// Threads in each core.
    pub threads: u32,
    /// What it can do beyond its model, by libvirt's names.
    #[schemars(length(max = 512))]
    pub features: Vec<String>,
}

/// One NUMA node of a host.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NumaNode {
    /// Its number.
    pub id: u32,
    /// Its memory.
    pub memory: Size,
    /// Its threads, by number.
    #[schemars(length(max = 4096))]
    pub cpus: Vec<u32>,
}

/// How guests run.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = wordless)]
pub enum VirtType {
    /// With the processor's help.
    Kvm,
    /// Emulated: slow, but works anywhere.
    Qemu,
}

impl VirtType {
    /// libvirt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Qemu => "qemu",
        }
    }
}

/// What a host offers to guests.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Offers {
    /// Boards.
    #[schemars(length(max = 16))]
    pub machines: Vec<Machine>,
    /// Whether guests can start by UEFI.
    pub uefi: bool,
    /// Whether UEFI can insist on signed boot loaders.
    pub secure_boot: bool,
    /// Whether guests can have a virtual TPM 2.0.
    pub tpm: bool,
    /// CPU models that a flavor may name, by libvirt's names.
    #[schemars(length(max = 512))]
    pub cpu_models: Vec<String>,
}

/// What runs on a host.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// Kilonova's agent.
    pub agent: String,
    /// libvirt.
    pub libvirt: String,
    /// QEMU.
    pub qemu: String,
    /// The kernel.
    pub kernel: String,
}

/// Where a host stands in the cloud's network, as its Open vSwitch is configured.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HypervisorNetwork {
    /// The name that OVN knows it by (`external_ids:system-id`), which has to be the node's.
    #[schemars(length(max = 253))]
    pub chassis: String,
    /// The physical networks that it reaches, by their names in `ovn-bridge-mappings`: routers' gateways to them can be here.
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub physical_networks: Vec<String>,
    /// The address that other hosts send guests' packets to (`external_ids:ovn-encap-ip`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 39))]
    pub encap_address: Option<String>,
}
