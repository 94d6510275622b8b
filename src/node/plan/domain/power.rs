//! `<on_…>` and `<pm>`: what happens when the guest ends or wants to sleep by itself.
//!
//! Whether a guest that ended is started again is the agent's decision, from the server's restart policy; libvirt
//! must not take it.

use serde::Serialize;

use super::{Choice, Enabled};

#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Destroy,
    Restart,
}

/// Sleep states. A guest that put itself to sleep would look as if it hung: nobody is there to wake it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Pm {
    #[serde(rename = "suspend-to-mem")]
    to_memory: Enabled,
    #[serde(rename = "suspend-to-disk")]
    to_disk: Enabled,
}

impl Pm {
    pub(super) fn none() -> Self {
        let no = || Enabled {
            enabled: Choice::No,
        };
        Self {
            to_memory: no(),
            to_disk: no(),
        }
    }
}
