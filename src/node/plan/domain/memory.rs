//! `<memory>`, `<vcpu>` and the balloon: how much of the host the guest gets.

use serde::Serialize;

use crate::api::guest::GuestSpec;

/// Seconds between the guest's reports of its own memory use: as often as Nova asks for them.
const STATS_PERIOD_SECONDS: u32 = 10;

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    #[serde(rename = "@unit")]
    unit: &'static str,
    #[serde(rename = "$text")]
    amount: u64,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Vcpu {
    #[serde(rename = "@placement")]
    placement: &'static str,
    #[serde(rename = "$text")]
    count: u16,
}

/// The balloon reports how much memory the guest uses; it is never inflated, since `<currentMemory>` is left at
/// all of `<memory>`.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Balloon {
    #[serde(rename = "@model")]
    model: &'static str,
    stats: Stats,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Stats {
    #[serde(rename = "@period")]
    period_seconds: u32,
}

impl Memory {
    pub(super) fn of(guest: &GuestSpec) -> Self {
        Self {
            unit: "MiB",
            amount: guest.memory_mib,
        }
    }
}

impl Vcpu {
    pub(super) fn of(guest: &GuestSpec) -> Self {
        Self {
            placement: "static",
            count: guest.vcpus,
        }
    }
}

impl Balloon {
    pub(super) fn reporting() -> Self {
        Self {
            model: "virtio",
            stats: Stats {
                period_seconds: STATS_PERIOD_SECONDS,
            },
        }
    }
}
