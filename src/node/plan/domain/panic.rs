//! `<panic>`: a device by which the guest's kernel says that it panicked, so that this counts as a crash instead of
//! a guest that runs and does nothing.

use serde::Serialize;

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Panic {
    #[serde(rename = "@model")]
    model: &'static str,
}

impl Panic {
    pub(super) fn reported() -> Self {
        Self { model: "isa" }
    }
}
