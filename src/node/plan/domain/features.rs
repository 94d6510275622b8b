//! `<features>`: what the board can do.

use serde::Serialize;

use crate::api::guest::GuestSpec;

use super::{Present, Switch, Toggle};

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// Without ACPI there is no power button, and so no orderly shutdown.
    acpi: Present,
    apic: Present,
    /// `VMware`'s back door: a device that nobody here needs.
    vmport: Toggle,
    /// System management mode keeps the guest's kernel from writing Secure Boot's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    smm: Option<Toggle>,
    /// Lets a dump of the guest's memory say where the kernel keeps its notes, so that `crash` can read it.
    vmcoreinfo: Toggle,
}

impl Features {
    pub(super) fn of(guest: &GuestSpec) -> Self {
        let on = || Toggle { state: Switch::On };
        Self {
            acpi: Present {},
            apic: Present {},
            vmport: Toggle { state: Switch::Off },
            smm: guest.secure_boot.then(on),
            vmcoreinfo: on(),
        }
    }
}
