//! Which guest of this node has which address of which network.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use crate::api::{
    address::Mac,
    guest::{Guest, Nic},
};

/// Everybody who may ask, by network and address.
#[derive(Clone, Debug, Default)]
pub struct Residents(BTreeMap<String, BTreeMap<Ipv4Addr, Resident>>);

/// A guest, and the MAC address of the NIC that it is found by.
#[derive(Clone, Debug)]
pub struct Resident {
    /// The guest.
    pub guest: Arc<Guest>,
    /// Where answers go.
    pub mac: Mac,
}

impl Residents {
    /// Those of these guests. An address that two of them claim is nobody's: neither may read what is the other's.
    pub fn of(guests: &[Arc<Guest>]) -> Self {
        let mut networks: BTreeMap<String, BTreeMap<Ipv4Addr, Resident>> = BTreeMap::new();
        let mut disputed = BTreeSet::new();
        for guest in guests.iter().filter(|guest| !guest.spec.retired) {
            for nic in &guest.spec.nics {
                let network = networks.entry(nic.network.clone()).or_default();
                for address in ipv4(nic) {
                    let resident = Resident {
                        guest: Arc::clone(guest),
                        mac: nic.mac,
                    };
                    if network.insert(address, resident).is_some() {
                        disputed.insert((nic.network.clone(), address));
                    }
                }
            }
        }
        for (network, address) in disputed {
            networks
                .entry(network)
                .and_modify(|network| drop(network.remove(&address)));
        }
        Self(networks)
    }

    /// Whose address this is.
    pub fn find(&self, network: &str, address: Ipv4Addr) -> Option<&Resident> {
        self.0.get(network)?.get(&address)
    }

    /// The networks that some guest is on, by UID.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Where answers to each address of a network go.
    pub fn neighbours(&self, network: &str) -> BTreeMap<Ipv4Addr, Mac> {
        let of = |(address, resident): (&Ipv4Addr, &Resident)| (*address, resident.mac);
        let residents = self.0.get(network).into_iter().flatten();
        residents.map(of).collect()
    }
}

fn ipv4(nic: &Nic) -> impl Iterator<Item = Ipv4Addr> {
    nic.addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::plan::instance::fixtures::{guest, nic};

    fn named(name: &str, nics: Vec<Nic>) -> Arc<Guest> {
        let mut guest = guest();
        guest.spec.server.name = name.to_owned();
        guest.spec.nics = nics;
        Arc::new(guest)
    }

    fn name<'a>(residents: &'a Residents, network: &str, address: &str) -> Option<&'a str> {
        let found = residents.find(network, address.parse().unwrap())?;
        Some(&found.guest.spec.server.name)
    }

    #[test]
    fn the_same_address_is_another_guest_on_another_network() {
        let residents = Residents::of(&[
            named("a", vec![nic("red", &["10.0.0.5", "2001:db8::5"])]),
            named(
                "b",
                vec![nic("blue", &["10.0.0.5"]), nic("red", &["10.0.0.6"])],
            ),
        ]);
        assert_eq!(name(&residents, "red", "10.0.0.5"), Some("a"));
        assert_eq!(name(&residents, "blue", "10.0.0.5"), Some("b"));
        assert_eq!(name(&residents, "red", "10.0.0.6"), Some("b"));
        assert_eq!(name(&residents, "blue", "10.0.0.6"), None);
        assert_eq!(name(&residents, "green", "10.0.0.5"), None);
        assert_eq!(residents.networks().collect::<Vec<_>>(), ["blue", "red"]);
        assert_eq!(residents.neighbours("red").len(), 2);
    }

    #[test]
    fn an_address_that_two_claim_is_nobodys() {
        let residents = Residents::of(&[
            named("a", vec![nic("red", &["10.0.0.5"])]),
            named("b", vec![nic("red", &["10.0.0.5", "10.0.0.6"])]),
        ]);
        assert_eq!(name(&residents, "red", "10.0.0.5"), None);
        assert_eq!(name(&residents, "red", "10.0.0.6"), Some("b"));
    }

    #[test]
    fn a_guest_that_is_gone_for_good_has_no_address() {
        let mut gone = guest();
        gone.spec.retired = true;
        gone.spec.nics = vec![nic("red", &["10.0.0.5"])];
        let residents = Residents::of(&[Arc::new(gone)]);
        assert_eq!(residents.networks().count(), 0);
    }
}
