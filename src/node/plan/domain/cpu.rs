//! `<cpu>`: the processor that the guest sees.

use serde::Serialize;

use crate::api::{guest::GuestSpec, hypervisor::VirtType};

/// What an emulated guest sees when its flavor names no model.
///
/// QEMU emulates any model at the same cost, so the choice is about guests: Nehalem is x86-64-v2, which today's
/// distributions need, and all of it is emulated faithfully. `maximum` would change with every version of QEMU, so
/// that a guest could not move, and brings five-level paging, which makes each emulated page walk longer.
const EMULATED_MODEL: &str = "Nehalem";

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Cpu {
    #[serde(rename = "@mode")]
    mode: &'static str,
    #[serde(rename = "@match", skip_serializing_if = "Option::is_none")]
    matching: Option<&'static str>,
    #[serde(rename = "@check", skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Model>,
    topology: Topology,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Model {
    #[serde(rename = "@fallback")]
    fallback: &'static str,
    #[serde(rename = "$text")]
    name: String,
}

/// One socket: some systems are licensed by the socket, or use no more than a few.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Topology {
    #[serde(rename = "@sockets")]
    sockets: u16,
    #[serde(rename = "@cores")]
    cores: u16,
    #[serde(rename = "@threads")]
    threads: u16,
}

impl Cpu {
    pub(super) fn of(guest: &GuestSpec, virt_type: VirtType) -> Self {
        let topology = Topology {
            sockets: 1,
            cores: guest.vcpus,
            threads: 1,
        };
        match (&guest.cpu_model, virt_type) {
            (Some(model), VirtType::Kvm | VirtType::Qemu) => Self::named(model, topology),
            (None, VirtType::Qemu) => Self::named(EMULATED_MODEL, topology),
            (None, VirtType::Kvm) => Self {
                mode: "host-model",
                matching: None,
                check: None,
                model: None,
                topology,
            },
        }
    }

    /// Exactly this model, or no start: a guest that silently got less could not be moved to where it gets all.
    fn named(model: &str, topology: Topology) -> Self {
        Self {
            mode: "custom",
            matching: Some("exact"),
            check: Some("partial"),
            model: Some(Model {
                fallback: "forbid",
                name: model.to_owned(),
            }),
            topology,
        }
    }
}
