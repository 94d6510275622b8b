//! Everything of a testbed that the machine has only once (addresses, link names) follows from one number, its slot.
//!
//! Two testbeds have different slots, so nothing of theirs can clash. Pure: claiming a slot is `record`'s business.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The last slot. Slot 0 stays free so that no address ends in zeros.
const SLOT_MAX: u8 = 250;
/// Nodes count from 1 and their addresses from .11, which leaves room below for what tests serve themselves.
pub const NODES_MAX: u8 = 200;
const FIRST_NODE_ADDRESS: u8 = 10;

/// The number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot(u8);

impl Slot {
    /// All slots there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=SLOT_MAX).map(Self)
    }

    /// The bridge between this machine and the nodes. (Link names have at most 15 characters.)
    pub fn bridge(self) -> String {
        format!("kn{}br", self.0)
    }

    /// This machine's end of a node's cable.
    pub fn cable(self, node: u8) -> String {
        format!("kn{}n{node}", self.0)
    }

    /// This machine as the nodes see it.
    pub fn host_address(self) -> Ipv4Addr {
        self.address(1)
    }

    /// A node.
    pub fn node_address(self, node: u8) -> Ipv4Addr {
        self.address(FIRST_NODE_ADDRESS + node)
    }

    /// Where parts listen that only this machine may reach: all of 127.0.0.0/8 is its own.
    pub fn loopback(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 31, self.0, 1)
    }

    /// The bits of [`Self::host_address`] that are common to the whole testbed.
    pub const PREFIX_LENGTH: u8 = 24;

    /// Whether a network that this machine knows already shares addresses with the slot's.
    pub fn overlaps(self, network: Ipv4Addr, prefix_length: u8) -> bool {
        let common = u32::from(prefix_length.min(Self::PREFIX_LENGTH));
        let mask = u32::MAX.checked_shl(32 - common).unwrap_or(0);
        u32::from(network) & mask == u32::from(self.address(0)) & mask
    }

    /// A UUID that no other node of any testbed on this machine has.
    pub fn host_uuid(self, node: u8) -> String {
        format!("6b696c6f-6e6f-4761-8000-0000{:04x}{node:04x}", self.0)
    }

    fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, self.0, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_fit() {
        let longest = Slot(SLOT_MAX).cable(NODES_MAX);
        assert!(
            longest.len() <= 15 && Slot(SLOT_MAX).bridge().len() <= 15,
            "{longest}"
        );
    }

    #[test]
    fn overlap_is_by_the_shorter_prefix() {
        let slot = Slot(7);
        assert!(slot.overlaps(Ipv4Addr::new(172, 31, 0, 0), 16));
        assert!(slot.overlaps(Ipv4Addr::new(172, 31, 7, 128), 25));
        assert!(!slot.overlaps(Ipv4Addr::new(172, 31, 8, 0), 24));
        assert!(!slot.overlaps(Ipv4Addr::new(10, 0, 0, 0), 8));
        assert!(slot.overlaps(Ipv4Addr::UNSPECIFIED, 0));
    }
}
