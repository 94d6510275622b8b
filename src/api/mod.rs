//! The nouns: every custom resource, and the value types that they are made of.
//!
//! Each kind is one file. Types here are parsed, not validated: whoever holds a value of one of them holds
//! something well-formed. This module is data only: it must never read a clock, talk to the API server or
//! decide anything.

pub mod address;
pub mod certificate;
pub mod condition;
pub mod flavor;
pub mod floating_ip;
pub mod guest;
pub mod hypervisor;
pub mod image;
pub mod key_pair;
pub mod load_balancer;
pub mod metadata;
pub mod network;
pub mod port;
pub mod router;
pub mod security_group;
pub mod server;
pub mod server_action;
pub mod subnet;
pub mod value;

mod crds;
mod rule;

pub use crds::all as crds;

use value::Sha256;

/// The API group of every kind.
pub const GROUP: &str = "kilonova.dev";

/// The label by which an administrator puts a Kubernetes node in: its value must be `true`.
pub const HYPERVISOR_LABEL: &str = "kilonova.dev/hypervisor";

/// The label of every agent's heartbeat, by which the operator finds them.
pub const HEARTBEAT_LABEL: &str = "kilonova.dev/heartbeat";

/// The namespace that holds everything of one node: its guests, their seeds, its heartbeat.
///
/// Names of nodes may be longer than names of namespaces and have dots (RFC 1123 labels have neither): such a name is
/// cut, its dots become hyphens, and a digest of the whole name keeps it apart from its like.
pub fn node_namespace(node: &str) -> String {
    let namespace = format!("{NODE_NAMESPACE}{node}");
    if namespace.len() <= NAMESPACE_MAX && !node.contains('.') {
        return namespace;
    }
    let digest = Sha256::of(node);
    let digest = &digest.as_str()[..DIGEST_LENGTH];
    let room = NAMESPACE_MAX - NODE_NAMESPACE.len() - DIGEST_LENGTH - 1;
    let cut: String = node.replace('.', "-").chars().take(room).collect();
    format!("{NODE_NAMESPACE}{cut}-{digest}")
}

const NODE_NAMESPACE: &str = "kilonova-node-";
const NAMESPACE_MAX: usize = 63;
const DIGEST_LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::node_namespace;

    #[test]
    fn every_node_has_a_namespace_of_its_own() {
        let long = "a".repeat(253);
        let longer = format!("{}b", "a".repeat(252));
        let nodes = [
            "n1",
            "ip-10-0-0-1.ec2.internal",
            "ip-10-0-0-1-ec2.internal",
            "ip-10-0-0-1-ec2-internal",
            &long,
            &longer,
        ];
        let namespaces = nodes.map(node_namespace);
        assert_eq!(namespaces[0], "kilonova-node-n1");
        assert_eq!(
            namespaces[1],
            "kilonova-node-ip-10-0-0-1-ec2-internal-f8d80228"
        );
        for (place, namespace) in namespaces.iter().enumerate() {
            assert!(
                namespace.len() <= 63 && !namespace.contains('.'),
                "{namespace}"
            );
            assert!(!namespaces[..place].contains(namespace), "{namespace}");
        }
    }
}
