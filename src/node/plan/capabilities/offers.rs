//! What guests of one type can have, read from libvirt's domain capabilities. Pure.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::api::{flavor::Machine, hypervisor::Offers};

use super::{CapabilitiesError, parse};

/// Reads what `virConnectGetDomainCapabilities` returns, which is for one type of guest.
pub fn offers(xml: &str, machines: &[Machine]) -> Result<Offers, CapabilitiesError> {
    let read: DomainXml = parse("domain capabilities", xml)?;
    Ok(Offers {
        machines: machines.to_vec(),
        uefi: read.os.offers("firmware", "efi"),
        secure_boot: read.os.offers("firmware", "efi") && read.os.loader.offers("secure", "yes"),
        tpm: read.devices.tpm.is_some_and(|tpm| {
            tpm.supported == "yes"
                && tpm.offers("backendModel", "emulator")
                && tpm.offers("backendVersion", "2.0")
        }),
        cpu_models: read.cpu.usable_models(),
    })
}

/// `<domainCapabilities>`: only what is read here.
#[derive(Deserialize)]
struct DomainXml {
    os: OsElement,
    cpu: CpuModes,
    devices: Devices,
}

#[derive(Deserialize)]
struct OsElement {
    #[serde(rename = "enum", default)]
    enums: Vec<EnumElement>,
    #[serde(default)]
    loader: Element,
}

/// An element that lists what its attributes may be.
#[derive(Deserialize, Default)]
struct Element {
    #[serde(rename = "@supported", default)]
    supported: String,
    #[serde(rename = "enum", default)]
    enums: Vec<EnumElement>,
}

#[derive(Deserialize)]
struct EnumElement {
    #[serde(rename = "@name")]
    name: String,
    #[serde(default)]
    value: Vec<String>,
}

#[derive(Deserialize)]
struct CpuModes {
    #[serde(default)]
    mode: Vec<CpuMode>,
}

#[derive(Deserialize)]
struct CpuMode {
    #[serde(rename = "@name")]
    name: String,
    #[serde(default)]
    model: Vec<CpuModel>,
}

#[derive(Deserialize)]
struct CpuModel {
    #[serde(rename = "@usable", default)]
    usable: String,
    #[serde(rename = "$text")]
    name: String,
}

#[derive(Deserialize)]
struct Devices {
    tpm: Option<Element>,
}

impl OsElement {
    fn offers(&self, name: &str, value: &str) -> bool {
        lists(&self.enums, name, value)
    }
}

impl Element {
    fn offers(&self, name: &str, value: &str) -> bool {
        lists(&self.enums, name, value)
    }
}

fn lists(enums: &[EnumElement], name: &str, value: &str) -> bool {
    enums
        .iter()
        .filter(|it| it.name == name)
        .any(|it| it.value.iter().any(|offered| offered == value))
}

impl CpuModes {
    /// Sorted, so that a host's status does not change when libvirt lists the same models in another order.
    fn usable_models(&self) -> Vec<String> {
        let models: BTreeSet<&String> = self
            .mode
            .iter()
            .filter(|mode| mode.name == "custom")
            .flat_map(|mode| &mode.model)
            .filter(|model| model.usable == "yes")
            .map(|model| &model.name)
            .collect();
        models.into_iter().cloned().collect()
    }
}
