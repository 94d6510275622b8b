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
/// What the nodes' switches send each other goes over a network of its own, whose addresses start with these bits and the
/// slot. This machine has no address and no route there.
const UNDERLAY: [u8; 2] = [172, 30];
/// Where pods have their addresses: 100.64.0.0/10, which RFC 6598 keeps for inside of somebody's network. Each slot has
/// 2^14 of them, each of its nodes 2^6.
const PODS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
const POD_BITS_SLOT: u32 = 14;
const POD_BITS_NODE: u32 = 6;

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

    /// The bridge between the nodes' switches: their underlay.
    pub fn underlay_bridge(self) -> String {
        format!("kn{}ul", self.0)
    }

    /// This machine's end of a node's cable to the underlay.
    pub fn node_underlay_cable(self, node: u8) -> String {
        format!("kn{}u{node}", self.0)
    }

    /// The bridge between the nodes' switches and the outside.
    pub fn outside_bridge(self) -> String {
        format!("kn{}ex", self.0)
    }

    /// This machine's end of a node's cable to the outside.
    pub fn node_outside_cable(self, node: u8) -> String {
        format!("kn{}e{node}", self.0)
    }

    /// This machine's end of the outside's own cable.
    pub fn outside_cable(self) -> String {
        format!("kn{}out", self.0)
    }

    /// This machine as the nodes see it.
    pub fn host_address(self) -> Ipv4Addr {
        self.address(1)
    }

    /// A node.
    pub fn node_address(self, node: u8) -> Ipv4Addr {
        self.address(FIRST_NODE_ADDRESS + node)
    }

    /// The hardware address of a node: the same after each boot, as a host's, so that others find it again at once.
    pub fn node_hardware_address(self, node: u8) -> String {
        format!("02:6b:6e:00:{:02x}:{node:02x}", self.0) // 02: administered locally
    }

    /// A node's switch on the underlay.
    pub fn underlay_address(self, node: u8) -> Ipv4Addr {
        let [first, second] = UNDERLAY;
        Ipv4Addr::new(first, second, self.0, FIRST_NODE_ADDRESS + node)
    }

    /// The hardware address of [`Self::underlay_address`]: the same after each boot, too.
    pub fn underlay_hardware_address(self, node: u8) -> String {
        format!("02:6b:6e:01:{:02x}:{node:02x}", self.0)
    }

    /// The hardware address of the outside: the same each time it is made, so that its neighbours find it again at once.
    pub fn outside_hardware_address(self) -> String {
        format!("02:6b:6e:02:{:02x}:01", self.0)
    }

    /// Where parts listen that only this machine may reach: all of 127.0.0.0/8 is its own.
    pub fn loopback(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 31, self.0, 1)
    }

    /// The bits of [`Self::host_address`] that are common to the whole testbed.
    pub const PREFIX_LENGTH: u8 = 24;

    /// The pods of all nodes.
    pub fn pods(self) -> Network {
        Network {
            address: Ipv4Addr::from(u32::from(PODS) + (u32::from(self.0) << POD_BITS_SLOT)),
            prefix_length: 32 - POD_BITS_SLOT,
        }
    }

    /// The pods of one node.
    pub fn node_pods(self, node: u8) -> Network {
        let first = u32::from(self.pods().address);
        Network {
            address: Ipv4Addr::from(first + (u32::from(node) << POD_BITS_NODE)),
            prefix_length: 32 - POD_BITS_NODE,
        }
    }

    /// Whether a network that this machine knows already shares addresses with the slot's.
    pub fn overlaps(self, network: Network) -> bool {
        let nodes = Network {
            address: self.address(0),
            prefix_length: Self::PREFIX_LENGTH.into(),
        };
        [nodes, self.pods()]
            .into_iter()
            .any(|own| own.overlaps(network))
    }

    /// A UUID that no other node of any testbed on this machine has.
    pub fn host_uuid(self, node: u8) -> String {
        format!("6b696c6f-6e6f-4761-8000-0000{:04x}{node:04x}", self.0)
    }

    fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, self.0, last)
    }
}

/// Addresses that have their first bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first one.
    pub address: Ipv4Addr,
    /// How many bits are common, at most 32.
    pub prefix_length: u32,
}

impl Network {
    fn overlaps(self, other: Self) -> bool {
        let common = self.prefix_length.min(other.prefix_length);
        let mask = u32::MAX.checked_shl(32 - common).unwrap_or(0);
        u32::from(self.address) & mask == u32::from(other.address) & mask
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_fit() {
        let last = Slot(SLOT_MAX);
        for name in [
            last.cable(NODES_MAX),
            last.node_underlay_cable(NODES_MAX),
            last.node_outside_cable(NODES_MAX),
            last.outside_cable(),
            last.bridge(),
            last.underlay_bridge(),
            last.outside_bridge(),
        ] {
            assert!(name.len() <= 15, "{name}");
        }
    }

    fn network(address: [u8; 4], prefix_length: u32) -> Network {
        Network {
            address: address.into(),
            prefix_length,
        }
    }

    #[test]
    fn overlap_is_by_the_shorter_prefix() {
        let slot = Slot(7);
        for (address, prefix_length, overlaps) in [
            ([172, 31, 0, 0], 16, true),
            ([172, 31, 7, 128], 25, true),
            ([172, 31, 8, 0], 24, false),
            ([10, 0, 0, 0], 8, false),
            ([0, 0, 0, 0], 0, true),
            ([100, 65, 192, 1], 32, true), // a pod's
        ] {
            let other = network(address, prefix_length);
            assert_eq!(slot.overlaps(other), overlaps, "{other}");
        }
    }

    #[test]
    fn pods_of_all_nodes_fit() {
        assert_eq!(Slot(1).pods(), network([100, 64, 64, 0], 18));
        assert_eq!(Slot(1).node_pods(2), network([100, 64, 64, 128], 26));
        let last = Slot(SLOT_MAX).node_pods(NODES_MAX);
        assert!(Slot(SLOT_MAX).pods().overlaps(last), "{last}");
        assert!(network(PODS.octets(), 10).overlaps(last), "{last}");
    }
}
