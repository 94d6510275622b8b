//! `<serial>` and `<channel>`: how the guest talks to the outside without a network.

use serde::Serialize;

use super::{DomainLayout, Switch};

/// The port by which QEMU's guest agent is spoken to; its name is part of the agent's protocol.
const GUEST_AGENT_PORT: &str = "org.qemu.guest_agent.0";

/// The first serial port. Its output is also written to a file by virtlogd, which rotates it at a size that its own
/// configuration sets, so that a talkative guest cannot fill the host.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Serial {
    #[serde(rename = "@type")]
    kind: &'static str,
    log: Log,
    target: SerialTarget,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Log {
    #[serde(rename = "@file")]
    file: String,
    /// Each start goes on with the log, so that what a guest said before it crashed is not lost.
    #[serde(rename = "@append")]
    append: Switch,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct SerialTarget {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@port")]
    port: u32,
}

/// A port to the guest agent. libvirt chooses the socket on the host.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    #[serde(rename = "@type")]
    kind: &'static str,
    target: ChannelTarget,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct ChannelTarget {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@name")]
    name: &'static str,
}

impl Serial {
    pub(super) fn logged(layout: &DomainLayout) -> Self {
        Self {
            kind: "pty",
            log: Log {
                file: layout.console_log.to_string_lossy().into_owned(),
                append: Switch::On,
            },
            target: SerialTarget {
                kind: "isa-serial",
                port: 0,
            },
        }
    }
}

impl Channel {
    pub(super) fn guest_agent() -> Self {
        Self {
            kind: "unix",
            target: ChannelTarget {
                kind: "virtio",
                name: GUEST_AGENT_PORT,
            },
        }
    }
}
