//! `<controller>`: that there is no USB, which libvirt would otherwise add, and where devices are plugged in later.

use serde::Serialize;

use crate::api::{flavor::Machine, guest::NICS_MAX};

/// The devices that need a port of their own beside NICs: two disks, the channel's controller, the balloon and the source
/// of random numbers.
const OTHER_DEVICES: u32 = 5;

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Controller {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@index")]
    index: u32,
    #[serde(rename = "@model")]
    model: &'static str,
}

impl Controller {
    /// What a guest on this board needs. PCI Express has no slots: whatever shall be plugged in while the guest runs needs a
    /// port that is there from the start, and libvirt makes no more of them than it fills. The old board's bus has slots
    /// enough.
    pub(super) fn of(machine: Machine) -> Vec<Self> {
        let no_usb = Self {
            kind: "usb",
            index: 0,
            model: "none",
        };
        let ports = match machine {
            Machine::Q35 => OTHER_DEVICES + NICS_MAX,
            Machine::Pc => 0,
        };
        // The board itself has number 0.
        let port = |index| Self {
            kind: "pci",
            index,
            model: "pcie-root-port",
        };
        std::iter::once(no_usb)
            .chain((1..=ports).map(port))
            .collect()
    }
}
