//! What a server needs a hypervisor to offer, once flavor and image have both had their say.
//!
//! Data only: who wins when flavor and image differ is the resolver's business, and which hypervisors qualify is
//! the scheduler's.

use crate::api::flavor::{Firmware, Machine};

/// What a server needs a hypervisor to offer. Sizes are apart from this: see
/// [`Resources`](crate::api::server::Resources).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The architecture of the guest, such as `x86_64`; absent: any.
    pub architecture: Option<String>,
    /// The board.
    pub machine: Machine,
    /// What starts the server.
    pub firmware: Firmware,
    /// Whether UEFI starts signed boot loaders only.
    pub secure_boot: bool,
    /// Whether there is a virtual TPM 2.0.
    pub tpm: bool,
    /// The CPU model by libvirt's name; absent: the hypervisor's own, whatever it is.
    pub cpu_model: Option<String>,
    /// Whether it has NICs, and the hypervisor has to have its place in the cloud's network.
    pub network: bool,
}

/// What a server needs whose flavor and image ask for nothing: the defaults that both document.
impl Default for Needs {
    fn default() -> Self {
        Self {
            architecture: None,
            machine: Machine::Q35,
            firmware: Firmware::Bios,
            secure_boot: false,
            tpm: false,
            cpu_model: None,
            network: false,
        }
    }
}
