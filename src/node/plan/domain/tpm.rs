//! `<tpm>`: a virtual TPM 2.0. Its state lives on the host and goes when the domain is undefined.

use serde::Serialize;

use crate::api::flavor::Machine;

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Tpm {
    #[serde(rename = "@model")]
    model: &'static str,
    backend: Backend,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Backend {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@version")]
    version: &'static str,
}

impl Tpm {
    /// CRB is the interface that TPM 2.0 was made with; guests old enough to want the 440FX board know only TIS.
    pub(super) fn on(machine: Machine) -> Self {
        Self {
            model: match machine {
                Machine::Q35 => "tpm-crb",
                Machine::Pc => "tpm-tis",
            },
            backend: Backend {
                kind: "emulator",
                version: "2.0",
            },
        }
    }
}
