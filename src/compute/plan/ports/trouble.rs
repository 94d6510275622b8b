//! Why a network of a server's makes no NIC yet, in the words that its owner reads.

use thiserror::Error;

/// Why there is no NIC yet. Ports are named `project/name`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// Its port has to be made.
    #[error("waiting for port {0}: it is being made")]
    Unmade(String),
    /// Its port has no addresses yet.
    #[error("waiting for port {port}: {}", why.as_deref().unwrap_or("it has no addresses yet"))]
    Waiting {
        /// The port.
        port: String,
        /// What it says itself.
        why: Option<String>,
    },
    /// Its port is on its way out.
    #[error(
        "port {port} is being deleted, and stays as long as the guest has its NIC: {}",
        if *brought { "take it out of spec.networks" } else { "take its network out of spec.networks, and put it in again later for a new one" }
    )]
    Leaving {
        /// The port.
        port: String,
        /// Whether the server's owner had brought it.
        brought: bool,
    },
    /// Another server still has the port plugged in.
    #[error("waiting for port {port}: server {server} has not let go of it yet")]
    Held {
        /// The port.
        port: String,
        /// The other server.
        server: String,
    },
    /// There is no such port.
    #[error(
        "there is no port {0}, which spec.networks names: make it, or take it out of spec.networks"
    )]
    Absent(String),
    /// Somebody else's port has the name of one that has to be made.
    #[error(
        "port {0} is there already and was not made for this server: delete it, or give the entry of spec.networks another name"
    )]
    Foreign(String),
    /// Another server uses the port.
    #[error(
        "port {port} is used by server {server}: take it out of that server's spec.networks first"
    )]
    Taken {
        /// The port.
        port: String,
        /// The other server.
        server: String,
    },
    /// Two of the networks make one port.
    #[error("two of spec.networks have the same port, {0}: give one of them a name")]
    Twice(String),
}

impl Trouble {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unmade(_) | Self::Waiting { .. } => "WaitingForPort",
            Self::Leaving { .. } => "PortBeingDeleted",
            Self::Held { .. } => "PortHeld",
            Self::Absent(_) => "PortNotFound",
            Self::Foreign(_) => "PortNameTaken",
            Self::Taken { .. } => "PortInUse",
            Self::Twice(_) => "PortTwice",
        }
    }

    /// Whether somebody must act.
    pub fn stalls(&self) -> bool {
        match self {
            Self::Unmade(_) | Self::Waiting { .. } | Self::Leaving { .. } | Self::Held { .. } => {
                false
            }
            Self::Absent(_) | Self::Foreign(_) | Self::Taken { .. } | Self::Twice(_) => true,
        }
    }

    /// Whether it passes at once, if all is well: then it is not worth a word.
    pub fn is_brief(&self) -> bool {
        matches!(self, Self::Unmade(_) | Self::Waiting { why: None, .. })
    }
}
