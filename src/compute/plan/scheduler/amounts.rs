//! How much of each resource, in the one unit in which the scheduler compares and adds.
//!
//! Memory and disk count in whole MiB, because servers get whole MiB: what a server takes is rounded up, what a
//! host has is rounded down, so rounding never promises what is not there.

use crate::api::{server::Resources, value::Size};

/// What servers take of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// Virtual CPUs.
    Vcpus,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
}

impl Resource {
    /// How many resources there are.
    pub const COUNT: usize = 3;
}

/// How much of each resource.
///
/// Sums saturate instead of wrapping. They stay exact up to 2^20 servers of the largest size that can be written
/// down at all (2^44 MiB), and so up to any number of servers that a flavor allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Disk, in MiB.
    pub disk_mib: u64,
}

impl Amounts {
    /// What a server takes: rounded up.
    pub fn taken(resources: Resources) -> Self {
        Self {
            vcpus: u64::from(resources.vcpus),
            memory_mib: resources.memory.as_mib(),
            disk_mib: resources.disk.as_mib(),
        }
    }

    /// How much of one resource.
    pub fn of(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Vcpus => self.vcpus,
            Resource::Memory => self.memory_mib,
            Resource::Disk => self.disk_mib,
        }
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
            disk_mib: self.disk_mib.saturating_add(other.disk_mib),
        }
    }

    /// What is left of this without `other`, and nothing where there is less than that.
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_sub(other.vcpus),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
            disk_mib: self.disk_mib.saturating_sub(other.disk_mib),
        }
    }

    /// Whether this is more than `other` of any resource.
    pub(super) fn exceeds(&self, other: &Self) -> bool {
        self.vcpus > other.vcpus
            || self.memory_mib > other.memory_mib
            || self.disk_mib > other.disk_mib
    }
}

/// In MiB, rounded down: for what a host has.
pub(super) fn whole_mib(size: Size) -> u64 {
    size.as_bytes() >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_rounded_up_and_hosts_down() {
        let taken = Amounts::taken(Resources {
            vcpus: 2,
            memory: Size::bytes((1 << 20) + 1),
            disk: Size::bytes(1),
        });
        let whole = Amounts {
            vcpus: 2,
            memory_mib: 2,
            disk_mib: 1,
        };
        assert_eq!(taken, whole);
        assert_eq!(whole_mib(Size::bytes((2 << 20) - 1)), 1);
    }

    #[test]
    fn no_size_is_too_large_to_count() {
        let largest = Resources {
            vcpus: u16::MAX,
            memory: Size::bytes(u64::MAX),
            disk: Size::bytes(u64::MAX),
        };
        let taken = Amounts::taken(largest);
        assert_eq!(taken.plus(taken).minus(taken), taken);
        assert_eq!(Amounts::default().minus(taken), Amounts::default());
    }

    #[test]
    fn more_of_any_one_resource_exceeds() {
        let base = Amounts {
            vcpus: 1,
            memory_mib: 1,
            disk_mib: 1,
        };
        assert!(!base.exceeds(&base));
        assert!(Amounts { vcpus: 2, ..base }.exceeds(&base));
        assert!(
            Amounts {
                memory_mib: 2,
                ..base
            }
            .exceeds(&base)
        );
        assert!(
            Amounts {
                disk_mib: 2,
                ..base
            }
            .exceeds(&base)
        );
        assert!(!Amounts::default().exceeds(&base));
    }
}
