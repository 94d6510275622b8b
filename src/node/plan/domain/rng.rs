//! `<rng>`: random numbers from the host, so that a fresh guest need not wait for entropy to make its keys.

use serde::Serialize;

/// 64 KiB in each second seed a kernel at once, and cost the host next to nothing if a guest never stops asking.
const BYTES_PER_PERIOD: u32 = 64 * 1024;
const PERIOD_MS: u32 = 1_000;

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Rng {
    #[serde(rename = "@model")]
    model: &'static str,
    rate: Rate,
    backend: Backend,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Rate {
    #[serde(rename = "@period")]
    period_ms: u32,
    #[serde(rename = "@bytes")]
    bytes: u32,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Backend {
    #[serde(rename = "@model")]
    model: &'static str,
    #[serde(rename = "$text")]
    device: &'static str,
}

impl Rng {
    pub(super) fn limited() -> Self {
        Self {
            model: "virtio",
            rate: Rate {
                period_ms: PERIOD_MS,
                bytes: BYTES_PER_PERIOD,
            },
            backend: Backend {
                model: "random",
                // Never blocks, and is as good as /dev/random once the host has booted.
                device: "/dev/urandom",
            },
        }
    }
}
