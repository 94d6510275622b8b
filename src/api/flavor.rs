//! `Flavor`: the sizes that servers come in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    rule,
    value::{Size, wordless},
};

/// A size that servers come in: virtual CPUs, memory, disk, and how the machine is built.
///
/// Cluster-scoped and immutable. A flavor that servers use goes only when the last of them has gone.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Flavor",
    status = "FlavorStatus",
    category = "kilonova",
    shortname = "kflavor",
    doc = "A size that servers come in: virtual CPUs, memory, disk, and how the machine is built.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "VCPUs", type_ = "integer", json_path = ".spec.vcpus"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".spec.memory"),
    printcolumn(name = "Disk", type_ = "string", json_path = ".spec.disk"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Firmware",
        type_ = "string",
        json_path = ".spec.firmware",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a flavor cannot be changed: make another one, and name it in new servers"))]
#[x_kube(validation = Rule::new("!(has(self.secureBoot) && self.secureBoot) || !has(self.firmware) || self.firmware == 'Uefi'").message("secureBoot needs firmware: Uefi, of the flavor or of the image"))]
#[serde(rename_all = "camelCase")]
pub struct FlavorSpec {
    /// What this flavor is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Number of virtual CPUs, 1 to 255.
    #[schemars(range(min = 1, max = 255))]
    pub vcpus: u16,
    /// Memory of the server, e.g. `2Gi`. At least 16Mi, at most 16Ti; rounded up to whole MiB.
    #[schemars(schema_with = "super::value::size_in_words")]
    #[x_kube(validation = rule::size("memory", "2Gi", Size::mib(16), Size::gib(16 << 10)))]
    pub memory: Size,
    /// Size of the root disk, e.g. `20Gi`. At least 1Mi, at most 1Pi; rounded up to whole MiB. An image whose
    /// virtual size is larger is refused.
    #[schemars(schema_with = "super::value::size_in_words")]
    #[x_kube(validation = rule::size("disk", "20Gi", Size::mib(1), Size::gib(1 << 20)))]
    pub disk: Size,
    /// The CPU that the server sees. Default: the hypervisor's own model, without what cannot be migrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<FlavorCpu>,
    /// The machine that the server sees. Default: `Q35`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The firmware that starts the server. Default: what the image asks for, else `Bios`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// Whether UEFI starts signed boot loaders only; needs `firmware: Uefi`, here or in the image. Default: what the
    /// image asks for, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// Whether the server has a virtual TPM 2.0. Default: what the image asks for, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<bool>,
}

/// The CPU that a server sees.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FlavorCpu {
    /// A CPU model by libvirt's name, such as `Nehalem` or `Skylake-Server-v4`; `virsh cpu-models x86_64` lists
    /// them. Only hypervisors that offer the model take the server.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches(r'^[A-Za-z0-9][A-Za-z0-9._-]*$')").message("cpu.model must be a CPU model by libvirt's name, such as Skylake-Server-v4: letters, digits, dots, hyphens and underscores"))]
    pub model: String,
}

/// The board that a server sees.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
#[schemars(transform = wordless)]
pub enum Machine {
    /// Intel Q35 with PCI Express.
    Q35,
    /// Intel 440FX with PCI, for old guests.
    Pc,
}

impl Machine {
    /// QEMU's name for the newest board of this kind.
    pub fn as_qemu(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
        }
    }
}

/// What starts a server.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
#[schemars(transform = wordless)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
}

/// What the operator says of a flavor.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FlavorStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: whether new servers may use this flavor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
