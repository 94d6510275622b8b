//! `<disk>`: the root disk over its image, and the cloud-init seed.

use std::path::Path;

use serde::Serialize;

use crate::api::image::DiskFormat;

use super::{Choice, DomainLayout, Present};

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@device")]
    device: &'static str,
    driver: Driver,
    source: Source,
    #[serde(rename = "backingStore")]
    backing: Backing,
    target: Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    readonly: Option<Present>,
    /// What the guest finds in `/dev/disk/by-id`: `virtio-root`, `virtio-seed`.
    serial: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<Boot>,
}

/// How QEMU reads and writes the file.
///
/// `writeback` goes through the host's page cache. That works on every file system, and the image that many servers
/// boot from is read from the host's disk once instead of once for each; the guest's flushes still reach the disk.
/// `none` would keep the cache small, but QEMU applies it to the whole chain, the shared image too.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Driver {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@type")]
    format: &'static str,
    #[serde(rename = "@cache")]
    cache: &'static str,
    /// A full host file system pauses the guest, which can go on once there is room; other errors are the guest's
    /// to handle, as on a real disk.
    #[serde(rename = "@error_policy", skip_serializing_if = "Option::is_none")]
    write_errors: Option<&'static str>,
    #[serde(rename = "@rerror_policy", skip_serializing_if = "Option::is_none")]
    read_errors: Option<&'static str>,
    /// What the guest trims is given back to the host.
    #[serde(rename = "@discard", skip_serializing_if = "Option::is_none")]
    discard: Option<&'static str>,
    /// Looking for zeroes in every write costs time, and only helps guests that cannot trim.
    #[serde(rename = "@detect_zeroes", skip_serializing_if = "Option::is_none")]
    detect_zeroes: Option<&'static str>,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Source {
    #[serde(rename = "@file")]
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seclabel: Option<Seclabel>,
}

/// Tells libvirt to leave a file's owner alone.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Seclabel {
    #[serde(rename = "@model")]
    model: &'static str,
    #[serde(rename = "@relabel")]
    relabel: Choice,
}

/// What is below an image. An empty one says that nothing is, so that nobody looks.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Backing {
    #[serde(rename = "@type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(rename = "backingStore", skip_serializing_if = "Option::is_none")]
    below: Option<Box<Backing>>,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Format {
    #[serde(rename = "@type")]
    name: &'static str,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Target {
    #[serde(rename = "@dev")]
    device: &'static str,
    #[serde(rename = "@bus")]
    bus: &'static str,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Boot {
    #[serde(rename = "@order")]
    order: u32,
}

impl Disk {
    pub(super) fn root(layout: &DomainLayout) -> Self {
        Self {
            kind: "file",
            device: "disk",
            driver: Driver {
                name: "qemu",
                format: DiskFormat::Qcow2.as_qemu(),
                cache: "writeback",
                write_errors: Some("enospace"),
                read_errors: Some("report"),
                discard: Some("unmap"),
                detect_zeroes: Some("off"),
            },
            source: Source::of(&layout.root_overlay),
            backing: Backing::image(&layout.base_image, layout.base_format),
            target: Target {
                device: "vda",
                bus: "virtio",
            },
            readonly: None,
            serial: "root",
            boot: Some(Boot { order: 1 }),
        }
    }

    /// cloud-init finds the seed by its file system's label, so any bus will do.
    pub(super) fn seed(layout: &DomainLayout) -> Self {
        Self {
            kind: "file",
            device: "disk",
            driver: Driver {
                name: "qemu",
                format: DiskFormat::Raw.as_qemu(),
                cache: "writeback",
                write_errors: None,
                read_errors: None,
                discard: None,
                detect_zeroes: None,
            },
            source: Source::of(&layout.seed),
            backing: Backing::nothing(),
            target: Target {
                device: "vdb",
                bus: "virtio",
            },
            readonly: Some(Present {}),
            serial: "seed",
            boot: None,
        }
    }
}

impl Backing {
    /// The image is shared by guests of many owners. libvirt would make the guest's user its owner, and a guest that
    /// broke out of QEMU could then change what other guests boot from; so its owner is left as it is.
    fn image(file: &Path, format: DiskFormat) -> Self {
        Self {
            kind: Some("file"),
            format: Some(Format {
                name: format.as_qemu(),
            }),
            source: Some(Source {
                seclabel: Some(Seclabel {
                    model: "dac",
                    relabel: Choice::No,
                }),
                ..Source::of(file)
            }),
            below: Some(Box::new(Self::nothing())),
        }
    }

    fn nothing() -> Self {
        Self {
            kind: None,
            format: None,
            source: None,
            below: None,
        }
    }
}

impl Source {
    fn of(file: &Path) -> Self {
        Self {
            file: file.to_string_lossy().into_owned(),
            seclabel: None,
        }
    }
}
