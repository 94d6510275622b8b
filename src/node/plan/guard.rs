//! On which ports of the node's switch a guest may not play router.

use std::collections::{BTreeMap, BTreeSet};

use crate::{api::guest::Guest, node::driver::PortId, ovsdb::vswitch::Interface};

/// By this, libvirt says which domain an interface is of. Nobody else's have it.
pub const DOMAIN: &str = "vm-id";

/// By this, OVN knows an interface: the UID of a Port, if it is one of ours.
pub const PORT: &str = "iface-id";

/// How the ports of guests stand that may not play router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Those whose router advertisements the switch drops.
    pub ports: BTreeSet<PortId>,
    /// Why the switch cannot be told to, and what to do; none while it can.
    pub trouble: Option<String>,
}

/// The ports on which router advertisements are dropped, by their numbers in the switch, with what OVN knows them by: all
/// of domains, but those whose owner has taken port security off them.
pub fn wanted<'a>(
    interfaces: impl Iterator<Item = &'a Interface>,
    free: &BTreeSet<PortId>,
) -> BTreeMap<u32, Option<PortId>> {
    let of_domains = interfaces.filter(|interface| interface.external_ids.contains_key(DOMAIN));
    let numbered = of_domains.filter_map(|interface| {
        let number = u32::try_from(interface.ofport?).ok()?;
        let port = interface.external_ids.get(PORT);
        let port = port.and_then(|port| port.parse().ok());
        Some((number, port))
    });
    numbered
        .filter(|(_, port)| port.is_none_or(|port| !free.contains(&port)))
        .collect()
}

/// The ports of these guests that have no port security.
pub fn free<'a>(guests: impl Iterator<Item = &'a Guest>) -> BTreeSet<PortId> {
    let nics = guests.flat_map(|guest| &guest.spec.nics);
    nics.filter(|nic| !nic.port_security)
        .filter_map(|nic| nic.port.parse().ok())
        .collect()
}

/// The guest's ports that have to be guarded, with the names by which their owner knows them.
pub fn secured(guest: &Guest) -> impl Iterator<Item = (PortId, &str)> {
    let nics = guest.spec.nics.iter().filter(|nic| nic.port_security);
    // The schema lets nothing else through than UUIDs.
    nics.filter_map(|nic| Some((nic.port.parse().ok()?, nic.name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::plan::fixtures::{guest, port};

    fn interface(number: Option<i64>, ids: &[(&str, String)]) -> Interface {
        let ids = ids.iter();
        Interface {
            ofport: number,
            external_ids: ids
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
            ..Interface::default()
        }
    }

    #[test]
    fn every_port_of_a_domain_is_guarded_but_those_without_port_security() {
        let of = |number, id: String| interface(number, &[(DOMAIN, "d".to_owned()), (PORT, id)]);
        let interfaces = [
            of(Some(1), port(1).to_string()),
            of(Some(2), port(2).to_string()),
            of(Some(3), "somebody's".to_owned()),
            // It could not be made, or is not made yet.
            of(Some(-1), port(4).to_string()),
            of(None, port(5).to_string()),
            // OVN's own, and the metadata service's.
            interface(Some(6), &[]),
            interface(Some(7), &[(PORT, "metadata".to_owned())]),
        ];
        let mut open = guest().with_nics(&[1, 2]);
        let all = BTreeMap::from([(1, Some(port(1))), (2, Some(port(2))), (3, None)]);
        let found = |guest: &Guest| wanted(interfaces.iter(), &free([guest].into_iter()));
        assert_eq!(found(&open), all);
        open.spec.nics[1].port_security = false;
        let fewer = BTreeMap::from([(1, Some(port(1))), (3, None)]);
        assert_eq!(found(&open), fewer);
        let secured: Vec<_> = secured(&open).collect();
        assert_eq!(secured, [(port(1), "web-1-net1")]);
    }
}
