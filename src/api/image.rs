//! `Image`: what a server's root disk starts from.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    flavor::{Firmware, Machine},
    rule,
    value::{Sha256, Size, wordless},
};

/// What a server's root disk starts from: a disk image behind an address, named by its content.
///
/// Each hypervisor downloads an image once, at its first use, verifies it and refuses it when it is unsafe.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "Image",
    plural = "images",
    namespaced,
    status = "ImageStatus",
    category = "kilonova",
    shortname = "kimage",
    doc = "What a server's root disk starts from: a disk image behind an address, named by its content.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Format", type_ = "string", json_path = ".spec.format"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.size"),
    printcolumn(name = "Visibility", type_ = "string", json_path = ".spec.visibility"),
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
#[x_kube(validation = Rule::new("self.source == oldSelf.source && self.format == oldSelf.format").message("an image's source and format cannot be changed: make another image"))]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// What this image holds, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Where the content comes from.
    pub source: ImageSource,
    /// The format of the content. A file that is of another format is refused.
    pub format: DiskFormat,
    /// The smallest root disk that this image fits on, e.g. `2Gi`. Default: the image's own virtual size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::value::size_in_words")]
    #[x_kube(validation = rule::size("minDisk", "2Gi", Size::bytes(0), Size::gib(1 << 20)))]
    pub min_disk: Option<Size>,
    /// The least memory that this image runs with, e.g. `256Mi`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::value::size_in_words")]
    #[x_kube(validation = rule::size("minMemory", "256Mi", Size::bytes(0), Size::gib(16 << 10)))]
    pub min_memory: Option<Size>,
    /// Who may boot servers from it: `Private`, the project's own servers; `Public`, everybody's, by the name
    /// `project/image`. Default: `Private`.
    #[serde(default)]
    pub visibility: Visibility,
    /// What the image needs of the machine. A flavor's own words go first.
    #[serde(default)]
    pub properties: ImageProperties,
}

/// Where an image's content comes from: exactly one of the fields.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageSource {
    /// A file behind an HTTP or HTTPS address.
    pub http: HttpSource,
}

/// A file behind an HTTP or HTTPS address.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HttpSource {
    /// The address, `http://…` or `https://…`. Every hypervisor must reach it.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(r#"self.matches(r"^https?://[^\x00-\x20\x7f<>\x22'\\^`{|}]{2,}$")"#).message("url must be an address, http://… or https://…, without spaces, line breaks, quotes or markup: write %20 and the like for them"))]
    pub url: String,
    /// The SHA-256 digest of the file as it is served, as `sha256sum` prints it.
    #[schemars(with = "String", length(max = 256))]
    #[x_kube(validation = Rule::new("self.matches(r'^[0-9a-f]{64}$')").message("sha256 must be 64 lower-case hexadecimal digits, as sha256sum prints them"))]
    pub sha256: Sha256,
}

/// How the bytes of a disk image are laid out.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub enum DiskFormat {
    /// QEMU's copy-on-write format, version 2 or 3, without backing file, external data file or encryption.
    Qcow2,
    /// The disk's bytes as they are.
    Raw,
}

impl DiskFormat {
    /// QEMU's name for the format.
    pub fn as_qemu(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// Who may use an object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Only objects of the same project.
    #[default]
    Private,
    /// Everybody.
    Public,
}

/// What an image needs of the machine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageProperties {
    /// The board. Default: `Q35`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The firmware. Default: `Bios`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// Whether UEFI starts signed boot loaders only; needs `firmware: Uefi`. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// Whether the server has a virtual TPM 2.0. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<bool>,
}

/// What the operator says of an image.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// The image's id, as OpenStack would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// OpenStack's word for where the image stands: `queued` before a hypervisor has it, `saving` while one
    /// downloads it, `active` once one has verified it, `killed` when it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ImageState>,
    /// Size of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Size of the disk that the file describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<Size>,
    /// Where the image stands on each hypervisor that was told to use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub nodes: Vec<ImageOnNode>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: whether servers can boot from this image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// OpenStack's words for where an image stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = wordless)]
pub enum ImageState {
    /// No hypervisor has it yet.
    Queued,
    /// A hypervisor downloads it.
    Saving,
    /// At least one hypervisor has verified it.
    Active,
    /// It was refused.
    Killed,
}

/// One image in the cache of one hypervisor.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImageOnNode {
    /// The hypervisor.
    pub name: String,
    /// Where it stands there.
    pub state: CacheState,
    /// How much of it is there, in percent; absent while the size is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<u8>,
    /// What went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One image in a hypervisor's cache, by content.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CachedImage {
    /// Digest of the file.
    pub sha256: Sha256,
    /// The declared format.
    pub format: DiskFormat,
    /// Where it stands.
    pub state: CacheState,
    /// How much of it is there, in percent; absent while the size is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<u8>,
    /// Size of the file, once it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Size of the disk that the file describes, once it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<Size>,
    /// What went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When this last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// Where an image stands in a hypervisor's cache.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheState {
    /// On its way.
    Downloading,
    /// Downloaded, verified and found safe.
    Ready,
    /// The download failed and will be tried again.
    Failed,
    /// The content is not what was declared, or unsafe. Trying again would not help.
    Refused,
}
