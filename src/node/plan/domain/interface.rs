//! `<interface>`: one NIC, on the node's integration bridge, where OVN knows it by its port's UID.

use quick_xml::{DeError, se::SeError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::guest::Nic;

use super::{Choice, Enabled};

/// The bridge of Open vSwitch that OVN's controller makes and fills with flows on every node.
pub const INTEGRATION_BRIDGE: &str = "br-int";

/// libvirt keeps only aliases that begin so: all others are its own.
const ALIAS: &str = "ua-";

/// The alias of the NIC of this port, by which it is plugged out again.
pub fn alias(port: &str) -> String {
    format!("{ALIAS}{port}")
}

/// Where the switch of a node looks at packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Datapath {
    /// In the kernel.
    #[default]
    Kernel,
    /// In a process, which does not fill in checksums that guests leave to their NICs.
    Userspace,
}

/// The element that plugs the NIC in.
pub fn interface(nic: &Nic, datapath: Datapath) -> Result<String, SeError> {
    quick_xml::se::to_string(&Interface::of(nic, datapath))
}

/// A definition that cannot be read.
#[derive(Debug, Error)]
#[error("could not read the NICs of a domain")]
pub struct NicsError(#[source] DeError);

/// The ports whose NICs are in a domain's XML, in their order. NICs that are not ours have no such alias.
pub fn ports(domain: &str) -> Result<Vec<String>, NicsError> {
    #[derive(Deserialize)]
    struct Domain {
        devices: Option<Devices>,
    }
    #[derive(Deserialize)]
    struct Devices {
        #[serde(default)]
        interface: Vec<Known>,
    }
    #[derive(Deserialize)]
    struct Known {
        alias: Option<Name>,
    }
    #[derive(Deserialize)]
    struct Name {
        #[serde(rename = "@name")]
        name: String,
    }
    let Domain { devices } = quick_xml::de::from_str(domain).map_err(NicsError)?;
    let known = devices.into_iter().flat_map(|devices| devices.interface);
    let aliases = known.filter_map(|interface| interface.alias);
    Ok(aliases
        .filter_map(|alias| alias.name.strip_prefix(ALIAS).map(str::to_owned))
        .collect())
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename = "interface")]
pub(super) struct Interface {
    #[serde(rename = "@type")]
    kind: &'static str,
    mac: Address,
    source: Bridge,
    virtualport: VirtualPort,
    model: Model,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<Driver>,
    mtu: Mtu,
    alias: Alias,
    /// Guests boot from their disks: without the NIC's own boot program they do so sooner.
    rom: Enabled,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Address {
    #[serde(rename = "@address")]
    address: String,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Bridge {
    #[serde(rename = "@bridge")]
    bridge: &'static str,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct VirtualPort {
    #[serde(rename = "@type")]
    kind: &'static str,
    parameters: Parameters,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Parameters {
    #[serde(rename = "@interfaceid")]
    interface: String,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Model {
    #[serde(rename = "@type")]
    kind: &'static str,
}

/// QEMU's own, which can be told what it may leave to whoever takes the packets.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Driver {
    #[serde(rename = "@name")]
    name: &'static str,
    host: Offload,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Offload {
    #[serde(rename = "@csum")]
    checksum: &'static str,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Mtu {
    #[serde(rename = "@size")]
    size: u16,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Alias {
    #[serde(rename = "@name")]
    name: String,
}

impl Interface {
    pub(super) fn of(nic: &Nic, datapath: Datapath) -> Self {
        let whole = Driver {
            name: "qemu",
            host: Offload { checksum: "off" },
        };
        Self {
            kind: "bridge",
            mac: Address {
                address: nic.mac.to_string(),
            },
            source: Bridge {
                bridge: INTEGRATION_BRIDGE,
            },
            virtualport: VirtualPort {
                kind: "openvswitch",
                parameters: Parameters {
                    interface: nic.port.clone(),
                },
            },
            model: Model { kind: "virtio" },
            driver: (datapath == Datapath::Userspace).then_some(whole),
            mtu: Mtu { size: nic.mtu },
            alias: Alias {
                name: alias(&nic.port),
            },
            rom: Enabled {
                enabled: Choice::No,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: &str = "5a3c9f0e-1b2d-4c3e-8f4a-6b7c8d9e0f1a";

    #[test]
    fn the_nics_of_a_domain_are_read_as_libvirt_writes_them() {
        let xml = format!(
            "<domain type='qemu' id='3'><name>x</name><devices>\
             <disk type='file'><alias name='ua-no-nic'/></disk>\
             <interface type='bridge'><mac address='02:00:00:00:00:01'/><source bridge='br-int'/>\
             <target dev='vnet0'/><alias name='ua-{PORT}'/></interface>\
             <interface type='network'><mac address='02:00:00:00:00:02'/><alias name='net1'/></interface>\
             <interface type='network'><mac address='02:00:00:00:00:03'/></interface>\
             </devices></domain>"
        );
        assert_eq!(ports(&xml).unwrap(), [PORT]);
        assert!(ports("<domain/>").unwrap().is_empty());
        assert!(ports("<domain><devices>").is_err());
    }

    #[test]
    fn what_is_plugged_in_is_known_again() {
        let nic = Nic {
            port: PORT.to_owned(),
            name: "web".to_owned(),
            network: String::new(),
            mac: "02:00:00:00:00:01".parse().unwrap(),
            mtu: 1442,
            addresses: Vec::new(),
            port_security: true,
        };
        let whole = interface(&nic, Datapath::Userspace).unwrap();
        let driver = "<driver name=\"qemu\"><host csum=\"off\"/></driver>";
        assert!(whole.contains(driver), "{whole}");
        let xml = interface(&nic, Datapath::Kernel).unwrap();
        assert!(!xml.contains("<driver"), "{xml}");
        assert!(xml.starts_with("<interface type=\"bridge\">"), "{xml}");
        let domain = format!("<domain><devices>{xml}</devices></domain>");
        assert_eq!(ports(&domain).unwrap(), [PORT]);
    }
}
