//! A domain as it is: which one, what it does, and whether it is ours.

use std::{collections::BTreeSet, fmt, str::FromStr};

use thiserror::Error;

use crate::node::plan::domain::Mark;

/// Which domain: its UUID, which is the UID of its Server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(u128);

/// Which NIC of a domain: the UID of its Port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(u128);

/// A text that is no UUID.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no UUID")]
pub struct DomainIdError(String);

/// Takes the canonical form only (8-4-4-4-12 hexadecimal digits), in either case.
fn read(text: &str) -> Result<u128, DomainIdError> {
    let groups: Vec<&str> = text.split('-').collect();
    let shaped = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    let digits = groups.concat();
    if !shaped || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(DomainIdError(text.to_owned()));
    }
    u128::from_str_radix(&digits, 16).map_err(|_| DomainIdError(text.to_owned()))
}

fn write(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hex = format!("{id:032x}");
    write!(
        f,
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

impl FromStr for PortId {
    type Err = DomainIdError;

    fn from_str(text: &str) -> Result<Self, DomainIdError> {
        read(text).map(Self)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f)
    }
}

impl fmt::Debug for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DomainId {
    type Err = DomainIdError;

    fn from_str(text: &str) -> Result<Self, DomainIdError> {
        read(text).map(Self)
    }
}

impl From<[u8; 16]> for DomainId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f)
    }
}

impl fmt::Debug for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One domain, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Which one.
    pub id: DomainId,
    /// Its name on the host.
    pub name: String,
    /// What it does.
    pub state: DomainState,
    /// Whether the next start goes on from saved memory.
    pub has_managed_save: bool,
    /// Our mark on its definition: what the next start will run. `None`: not ours, or only running (a definition
    /// that was removed under it).
    pub mark: Option<Mark>,
    /// Our mark on what runs now, which may be older than the definition. `None` when nothing runs, or not ours.
    pub running_mark: Option<Mark>,
    /// The NICs of its definition that are ours: what the next start will have.
    pub defined_nics: BTreeSet<PortId>,
    /// The NICs that it has now; none when nothing runs.
    pub plugged_nics: BTreeSet<PortId>,
}

impl DomainInfo {
    /// Whether the agent of this `Hypervisor` made the domain, and not that of another cluster's.
    pub fn was_made_for(&self, hypervisor: &str) -> bool {
        let marks = [&self.mark, &self.running_mark];
        marks
            .into_iter()
            .flatten()
            .any(|mark| mark.hypervisor.as_deref() == Some(hypervisor))
    }

    /// Whether the domain is ours to touch.
    pub fn is_ours(&self) -> bool {
        self.mark.is_some() || self.running_mark.is_some()
    }
}

/// What a domain does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainState {
    /// Its processors run.
    Running,
    /// It is there, in memory, but its processors stand still.
    Paused(PauseReason),
    /// The guest has powered off and the hypervisor is about to end it.
    ShuttingDown,
    /// Nothing runs.
    Shutoff(StopReason),
}

impl DomainState {
    /// Whether there is a process, and thus memory in use.
    pub fn is_active(self) -> bool {
        match self {
            Self::Running | Self::Paused(_) | Self::ShuttingDown => true,
            Self::Shutoff(_) => false,
        }
    }
}

/// Why a domain stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// Somebody asked for it.
    User,
    /// Its storage failed, most often because it is full.
    IoError,
    /// It is being started and does not run yet.
    StartingUp,
    /// It is being saved, to disk or in a snapshot or dump.
    Saving,
    /// It is moving to or from another host.
    Migrating,
    /// The guest's kernel panicked.
    Crashed,
    /// Something else, such as a watchdog or a failed call.
    Other,
}

/// Why a domain is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The guest powered itself off, asked to or not.
    Shutdown,
    /// Somebody cut it off through the hypervisor.
    Destroyed,
    /// Its process died, or the guest's kernel panicked.
    Crashed,
    /// Its memory was saved to disk.
    Saved,
    /// It moved to another host.
    Migrated,
    /// It could not be started, or the hypervisor gave it up.
    Failed,
    /// Not known: never started, or the hypervisor was restarted since and forgot.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_canonical_uuid_and_nothing_else() {
        let text = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let id: DomainId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        for bad in [
            "",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "+f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
            "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0-",
            "{0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f}",
        ] {
            assert!(bad.parse::<DomainId>().is_err(), "{bad}");
        }
    }
}
