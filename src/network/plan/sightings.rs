//! What OVN's southbound database tells of what this program cannot decide: on which node a router's gateway is, and which
//! members of load balancers answer.

use std::{collections::BTreeMap, net::IpAddr};

use crate::api::load_balancer::ListenerProtocol;

use super::topology::Uid;

/// OVN's name for the part of a router's port that is on one node at a time: this, and the port's name.
const REDIRECTED: &str = "cr-";

/// What the name of the port of a router's gateway begins with; the router's UID is the rest.
const GATEWAY: &str = "gateway-";

/// A member that is watched, as OVN names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    /// The UID of its Port.
    pub port: Uid,
    /// Its address.
    pub address: IpAddr,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Where it answers.
    pub number: u16,
}

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// The node of each router's gateway, by the router's UID.
    pub gateways: BTreeMap<Uid, String>,
    /// Whether each member answers; absent while nobody has found out.
    pub members: BTreeMap<Watched, bool>,
}

impl Sightings {
    /// Whether a member of a pool answers, for all of these protocols.
    pub fn answers(
        &self,
        port: &str,
        address: IpAddr,
        number: u16,
        protocols: &[ListenerProtocol],
    ) -> Option<bool> {
        let watched = |protocol: &ListenerProtocol| Watched {
            port: port.to_owned(),
            address,
            protocol: word(*protocol).to_owned(),
            number,
        };
        let known = protocols
            .iter()
            .filter_map(|protocol| self.members.get(&watched(protocol)));
        known.copied().reduce(|one, other| one && other)
    }
}

/// OVN's name for the port of a router's gateway.
pub fn gateway_port(router: &str) -> String {
    format!("{GATEWAY}{router}")
}

/// The UID of the router whose gateway a port of the southbound database is.
pub fn router_of(logical_port: &str) -> Option<&str> {
    logical_port.strip_prefix(REDIRECTED)?.strip_prefix(GATEWAY)
}

/// OVN's word for a protocol.
fn word(protocol: ListenerProtocol) -> &'static str {
    match protocol {
        ListenerProtocol::Tcp => "tcp",
        ListenerProtocol::Udp => "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_known_by_the_name_that_ovn_makes_of_its_ports() {
        let port = format!("cr-{}", gateway_port("r1"));
        assert_eq!(router_of(&port), Some("r1"));
        assert_eq!(router_of("cr-other"), None);
        assert_eq!(router_of("gateway-r1"), None);
    }

    #[test]
    fn a_member_answers_if_it_does_for_every_protocol() {
        use ListenerProtocol::{Tcp, Udp};
        let address = IpAddr::from([10, 0, 0, 5]);
        let watched = |protocol: &str| Watched {
            port: "p".to_owned(),
            address,
            protocol: protocol.to_owned(),
            number: 53,
        };
        let mut seen = Sightings::default();
        assert_eq!(seen.answers("p", address, 53, &[Tcp, Udp]), None);
        seen.members.insert(watched("tcp"), true);
        assert_eq!(seen.answers("p", address, 53, &[Tcp, Udp]), Some(true));
        assert_eq!(seen.answers("p", address, 54, &[Tcp]), None);
        seen.members.insert(watched("udp"), false);
        assert_eq!(seen.answers("p", address, 53, &[Tcp, Udp]), Some(false));
        assert_eq!(seen.answers("p", address, 53, &[Tcp]), Some(true));
    }
}
