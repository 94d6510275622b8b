//! The metadata service as all sides of it must know it: the owners of servers, the operator, which makes it a port on
//! each network, and the nodes, which answer there.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// How a guest is served by the metadata service.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MetadataService {
    /// Whether each request must carry a session token, which keeps programs in the guest that can be made to fetch an
    /// address for others from fetching its secrets. Default: `Optional`.
    #[serde(default)]
    pub tokens: MetadataTokens,
}

/// Whether requests to the metadata service must carry a session token.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetadataTokens {
    /// A request without one is answered, too.
    #[default]
    Optional,
    /// Only requests with one are answered: `PUT /latest/api/token` gives it. cloud-init's data source for OpenStack
    /// knows no tokens, and the one for EC2 does.
    Required,
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
