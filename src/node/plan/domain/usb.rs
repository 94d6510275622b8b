//! `<controller type='usb'>`: says that there is no USB, which libvirt would otherwise add.

use serde::Serialize;

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
    pub(super) fn no_usb() -> Self {
        Self {
            kind: "usb",
            index: 0,
            model: "none",
        }
    }
}
