//! `<os>`: the machine and the firmware that starts it.
//!
//! UEFI is asked for by its features, and libvirt picks the build that has them: paths of firmware files differ from
//! one distribution to the next.

use serde::Serialize;

use crate::api::{flavor::Firmware, guest::GuestSpec};

use super::{Choice, DomainLayout};

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Os {
    #[serde(rename = "@firmware", skip_serializing_if = "Option::is_none")]
    autoselect: Option<&'static str>,
    #[serde(rename = "type")]
    kind: Type,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<Features>,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Type {
    #[serde(rename = "@arch")]
    architecture: String,
    #[serde(rename = "@machine")]
    machine: &'static str,
    #[serde(rename = "$text")]
    kind: &'static str,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Features {
    feature: [Feature; 2],
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Feature {
    #[serde(rename = "@enabled")]
    enabled: Choice,
    #[serde(rename = "@name")]
    name: &'static str,
}

impl Os {
    pub(super) fn of(guest: &GuestSpec, layout: &DomainLayout) -> Self {
        let firmware = match guest.firmware {
            Firmware::Bios => None,
            Firmware::Uefi => Some(Features::of(guest.secure_boot)),
        };
        Self {
            autoselect: firmware.as_ref().map(|_| "efi"),
            kind: Type {
                architecture: layout.architecture.clone(),
                machine: guest.machine.as_qemu(),
                kind: "hvm",
            },
            firmware,
        }
    }
}

impl Features {
    /// Secure Boot needs both: firmware that can insist on signatures, and the vendors' keys already in its
    /// variables, for without keys it starts in setup mode and insists on nothing.
    fn of(secure_boot: bool) -> Self {
        let enabled = if secure_boot { Choice::Yes } else { Choice::No };
        let feature = |name| Feature { enabled, name };
        Self {
            feature: [feature("secure-boot"), feature("enrolled-keys")],
        }
    }
}
