//! A guest as libvirt is told of it: `GuestSpec` and the paths of its files → domain XML.
//!
//! One file for each device or topic; each makes the typed elements it is named after. XML comes out of the
//! serializer alone: no text is ever pasted, so no name can break out of its place.
//!
//! It must never probe or guess: every disk format and every backing chain is written out, for a format that QEMU
//! guesses is a format that a guest can forge.

mod clock;
mod console;
mod controller;
mod cpu;
mod devices;
mod disk;
mod features;
mod interface;
mod memory;
mod metadata;
mod os;
mod panic;
mod power;
mod rng;
#[cfg(test)]
mod tests;
mod tpm;

use std::path::PathBuf;

use quick_xml::se::{SeError, Serializer};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::{guest::GuestSpec, hypervisor::VirtType, image::DiskFormat, value::Sha256};

use self::{
    clock::Clock,
    cpu::Cpu,
    devices::Devices,
    features::Features,
    memory::{Memory, Vcpu},
    metadata::Metadata,
    os::Os,
    power::{Outcome, Pm},
};

pub use self::{
    interface::{Datapath, INTEGRATION_BRIDGE, NicsError, alias, interface, ports},
    metadata::{MARK_NAMESPACE, Mark, MarkError},
};

/// What the node adds to a guest: how it runs, and where its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainLayout {
    /// The UID of the `Hypervisor` that the node is, if there is one: what was made without is never taken for an orphan.
    pub hypervisor: Option<String>,
    /// How guests run on this node.
    pub virt_type: VirtType,
    /// The guest's architecture, by libvirt's name, such as `x86_64`.
    pub architecture: String,
    /// The root disk: a qcow2 overlay over `base_image`.
    pub root_overlay: PathBuf,
    /// The image below the root disk. libvirt neither takes it over nor lets the guest's process write it, so the
    /// file must be readable by everybody.
    pub base_image: PathBuf,
    /// The format of `base_image`.
    pub base_format: DiskFormat,
    /// The `NoCloud` seed: a raw file system image.
    pub seed: PathBuf,
    /// Where the serial console's output goes. Its folder must be there.
    pub console_log: PathBuf,
    /// Where the node's switch looks at packets.
    pub datapath: Datapath,
}

/// The name of a server's domain on its host: unique and safe as a file name, whatever the server is called.
pub fn domain_name(uid: &str) -> String {
    format!("kilonova-{uid}")
}

/// Makes the domain of a guest.
pub fn domain(guest: &GuestSpec, layout: &DomainLayout) -> Domain {
    let definition = Definition {
        virt_type: layout.virt_type.as_str(),
        name: domain_name(&guest.server.uid),
        uuid: guest.server.uid.clone(),
        title: metadata::title(&guest.server),
        metadata: None,
        memory: Memory::of(guest),
        vcpu: Vcpu::of(guest),
        os: Os::of(guest, layout),
        features: Features::of(guest),
        cpu: Cpu::of(guest, layout.virt_type),
        clock: Clock::of(layout.virt_type),
        on_poweroff: Outcome::Destroy,
        on_reboot: Outcome::Restart,
        on_crash: Outcome::Destroy,
        pm: Pm::none(),
        devices: Devices::of(guest, layout),
    };
    Domain {
        hypervisor: layout.hypervisor.clone(),
        epoch: guest.epoch,
        definition,
    }
}

/// A libvirt domain, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    hypervisor: Option<String>,
    epoch: i64,
    definition: Definition,
}

/// A domain that could not be written as XML.
#[derive(Debug, Error)]
#[error("could not write the XML of {domain}")]
pub struct DomainXmlError {
    /// The domain's name.
    domain: String,
    /// What the serializer said.
    #[source]
    source: SeError,
}

impl Domain {
    /// The mark that this domain bears: whose it is, its epoch, and the digest of everything else in it.
    pub fn mark(&self) -> Result<Mark, DomainXmlError> {
        let unmarked = self.definition.to_xml()?;
        Ok(Mark {
            hypervisor: self.hypervisor.clone(),
            epoch: self.epoch,
            digest: Sha256::of(unmarked).to_string(),
        })
    }

    /// The domain as libvirt reads it, with its mark.
    pub fn to_xml(&self) -> Result<String, DomainXmlError> {
        let marked = Definition {
            metadata: Some(Metadata::of(self.mark()?)),
            ..self.definition.clone()
        };
        marked.to_xml()
    }
}

/// The UUID in a definition, if it is one: libvirt would define whichever domain the text is of.
pub fn uuid(xml: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        uuid: String,
    }
    quick_xml::de::from_str(xml).ok().map(|Named { uuid }| uuid)
}

/// The element `domain`. The order of the fields is the order in the XML.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename = "domain")]
struct Definition {
    #[serde(rename = "@type")]
    virt_type: &'static str,
    name: String,
    uuid: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    memory: Memory,
    vcpu: Vcpu,
    os: Os,
    features: Features,
    cpu: Cpu,
    clock: Clock,
    on_poweroff: Outcome,
    on_reboot: Outcome,
    on_crash: Outcome,
    pm: Pm,
    devices: Devices,
}

impl Definition {
    fn to_xml(&self) -> Result<String, DomainXmlError> {
        let mut xml = String::new();
        let mut serializer = Serializer::new(&mut xml);
        serializer.indent(' ', 2);
        match self.serialize(serializer) {
            Ok(_) => Ok(xml),
            Err(source) => Err(DomainXmlError {
                domain: self.name.clone(),
                source,
            }),
        }
    }
}

/// An element that says something by being there.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Present {}

/// libvirt's `yes` and `no`.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Yes,
    No,
}

/// libvirt's `on` and `off`.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Switch {
    On,
    Off,
}

/// An element that is no more than a switch, `<x state='on'/>`.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Toggle {
    #[serde(rename = "@state")]
    state: Switch,
}

/// An element that is no more than a choice, `<x enabled='no'/>`.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Enabled {
    #[serde(rename = "@enabled")]
    enabled: Choice,
}
