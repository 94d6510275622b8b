//! The metadata service as both sides of it must know it: the operator, which makes it a port on each network, and the
//! nodes, which answer there.

use std::net::Ipv4Addr;

use super::address::Mac;

/// Where guests find it, on each of their networks.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Its TCP port.
pub const PORT: u16 = 80;

/// The name of its port on a network: of OVN's logical switch port (of type `localport`), and the `iface-id` of the
/// interface on every node that serves it.
pub fn port_name(network_uid: &str) -> String {
    format!("metadata-{network_uid}")
}

/// The MAC address of that port, which is the same on every node.
pub fn mac(network_uid: &str) -> Mac {
    Mac::of(&port_name(network_uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_port_for_it_everywhere() {
        let uid = "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35";
        assert_eq!(port_name(uid), format!("metadata-{uid}"));
        assert_eq!(mac(uid), Mac::of(&format!("metadata-{uid}")));
        assert_ne!(mac(uid), mac("another"));
    }
}
