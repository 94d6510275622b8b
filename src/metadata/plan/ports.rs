//! Which ports the node's switch shall have for this service, and what is to be done with their devices.
//!
//! A port is made by a row, and its device by the switch's daemon, down and without an address, in the host's namespace;
//! from there it is taken into ours. A device goes with the namespace that it is in, and the daemon does not notice: its
//! row has to go, and the daemon to see that, before another one of the name can be made. A daemon that starts again makes
//! devices that it does not find in the host's namespace, and ours are dead then.

use std::collections::{BTreeMap, BTreeSet};

/// How a device's name begins; twelve digits of the network's UID follow, which makes the 15 characters that Linux takes.
const DEVICE: &str = "md-";
const DIGITS: usize = 12;

/// The device of a network.
pub fn device(network: &str) -> String {
    let digits = network.chars().filter(char::is_ascii_alphanumeric);
    let digits: String = digits.take(DIGITS).collect();
    format!("{DEVICE}{digits}")
}

/// A port of the switch that has our mark, or a name that we want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name, and its device's.
    pub name: String,
    /// The network that our mark names; none, if it has no mark.
    pub network: Option<String>,
    /// What the daemon has made of it.
    pub made: Made,
}

/// What the switch's daemon has made of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It has not looked at it yet.
    NotYet,
    /// It made the device.
    Yes,
    /// It could not.
    Failed(String),
}

/// Where there is a device of a name, with its number there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In our namespace.
    pub ours: Option<u32>,
    /// In the host's.
    pub host: Option<u32>,
}

/// A device to take into our namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// Its number in the host's.
    pub index: u32,
    /// That of a dead one in ours, which is in its way.
    pub instead_of: Option<u32>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Ports of ours to remove, by name, and why.
    pub remove: BTreeMap<String, &'static str>,
    /// Networks to make ports for, with their devices' names.
    pub add: BTreeMap<String, String>,
    /// Devices to take into our namespace, by name.
    pub take: BTreeMap<String, Take>,
    /// Networks to serve, with their devices' names and numbers in our namespace.
    pub serve: BTreeMap<String, (String, u32)>,
    /// What is wrong, for people.
    pub troubles: Vec<String>,
}

impl Decision {
    /// Whether everything is as it shall be.
    pub fn is_settled(&self) -> bool {
        self.remove.is_empty()
            && self.add.is_empty()
            && self.take.is_empty()
            && self.troubles.is_empty()
    }
}

/// What is to be done so that exactly these networks are served.
pub fn decide(
    wanted: &BTreeSet<&str>,
    found: &[Found],
    places: &BTreeMap<String, Place>,
) -> Decision {
    let mut decision = Decision::default();
    let mut devices: BTreeMap<String, &str> = BTreeMap::new();
    for network in wanted {
        if let Some(other) = devices.insert(device(network), network) {
            decision.troubles.push(format!(
                "networks {other} and {network} would have one device: the first has no metadata service on this node"
            ));
        }
    }
    for port in found {
        let wanted = devices.remove(&port.name);
        match (&port.network, wanted) {
            (None, None) => {}
            (None, Some(network)) => decision.troubles.push(format!(
                "the switch has a port {} that is not ours: network {network} has no metadata service on this node \
                 until it is removed (ovs-vsctl del-port {})",
                port.name, port.name
            )),
            (Some(marked), Some(network)) if marked == network => {
                let place = places.get(&port.name).copied().unwrap_or_default();
                settle(port, network, place, &mut decision);
            }
            (Some(_), _) => {
                let why = "no guest of this node is on its network";
                decision.remove.insert(port.name.clone(), why);
            }
        }
    }
    let left = devices
        .into_iter()
        .map(|(device, network)| (network.to_owned(), device));
    decision.add.extend(left);
    decision
}

/// One port that is ours and wanted.
fn settle(port: &Found, network: &str, place: Place, decision: &mut Decision) {
    let name = port.name.clone();
    match (place, &port.made) {
        (_, Made::Failed(why)) => decision.troubles.push(format!(
            "the switch cannot make port {name} of network {network}: {why}"
        )),
        (
            Place {
                host: Some(index),
                ours,
            },
            Made::Yes,
        ) => {
            let instead_of = ours;
            decision.take.insert(name, Take { index, instead_of });
        }
        (
            Place {
                ours: Some(index),
                host: None,
            },
            Made::Yes | Made::NotYet,
        ) => {
            decision.serve.insert(network.to_owned(), (name, index));
        }
        (_, Made::NotYet) => decision.troubles.push(format!(
            "the switch has not made port {name} yet: does ovs-vswitchd run?"
        )),
        (
            Place {
                ours: None,
                host: None,
            },
            Made::Yes,
        ) => {
            let why = "its device has gone with the namespace that it was in";
            decision.remove.insert(name, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: &str = "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35";
    const DEVICE: &str = "md-4ba4e3ee7ed1";

    fn port(network: Option<&str>, made: Made) -> Found {
        Found {
            name: DEVICE.to_owned(),
            network: network.map(str::to_owned),
            made,
        }
    }

    fn host(index: u32) -> Place {
        Place {
            host: Some(index),
            ours: None,
        }
    }

    fn ours(index: u32) -> Place {
        Place {
            host: None,
            ours: Some(index),
        }
    }

    fn take(index: u32, instead_of: Option<u32>) -> Take {
        Take { index, instead_of }
    }

    fn decided(wanted: &[&str], found: &[Found], place: Place) -> Decision {
        let places = [(DEVICE.to_owned(), place)];
        decide(
            &wanted.iter().copied().collect(),
            found,
            &places.into_iter().collect(),
        )
    }

    #[test]
    fn a_device_has_a_name_that_linux_takes() {
        assert_eq!(device(RED), DEVICE);
        assert!(DEVICE.len() <= 15);
        assert_eq!(device("../../etc"), "md-etc");
    }

    #[test]
    fn a_network_that_has_come_gets_a_port_which_is_taken_and_served() {
        let decision = decided(&[RED], &[], Place::default());
        assert_eq!(
            decision.add,
            BTreeMap::from([(RED.to_owned(), DEVICE.to_owned())])
        );
        let waiting = decided(&[RED], &[port(Some(RED), Made::NotYet)], Place::default());
        assert!(waiting.add.is_empty() && waiting.remove.is_empty());
        assert_eq!(waiting.troubles.len(), 1);
        let made = decided(&[RED], &[port(Some(RED), Made::Yes)], host(7));
        assert_eq!(
            made.take,
            BTreeMap::from([(DEVICE.to_owned(), take(7, None))])
        );
        let taken = decided(&[RED], &[port(Some(RED), Made::Yes)], ours(7));
        assert_eq!(
            taken.serve,
            BTreeMap::from([(RED.to_owned(), (DEVICE.to_owned(), 7))])
        );
        assert!(taken.is_settled());
    }

    #[test]
    fn a_device_that_the_daemon_made_anew_takes_the_place_of_a_dead_one() {
        let place = Place {
            host: Some(9),
            ours: Some(7),
        };
        let decision = decided(&[RED], &[port(Some(RED), Made::Yes)], place);
        assert_eq!(
            decision.take,
            BTreeMap::from([(DEVICE.to_owned(), take(9, Some(7)))])
        );
        assert!(decision.serve.is_empty() && decision.remove.is_empty());
    }

    #[test]
    fn a_port_without_its_device_goes_before_it_comes_again() {
        let decision = decided(&[RED], &[port(Some(RED), Made::Yes)], Place::default());
        assert!(decision.remove.contains_key(DEVICE) && decision.add.is_empty());
    }

    #[test]
    fn a_port_of_a_network_that_nobody_is_on_goes_wherever_its_device_is() {
        for place in [Place::default(), ours(7), host(7)] {
            let decision = decided(&[], &[port(Some(RED), Made::Yes)], place);
            assert!(decision.remove.contains_key(DEVICE));
        }
        // Of another network whose UID begins so.
        let other = "4ba4e3ee-7ed1-0000-0000-000000000000";
        let decision = decided(&[RED], &[port(Some(other), Made::Yes)], Place::default());
        assert!(decision.remove.contains_key(DEVICE) && decision.add.is_empty());
    }

    #[test]
    fn anothers_port_is_left_alone_and_complained_of() {
        let stranger = [port(None, Made::Yes)];
        assert_eq!(
            decided(&[], &stranger, Place::default()),
            Decision::default()
        );
        let decision = decided(&[RED], &stranger, host(7));
        assert!(decision.remove.is_empty() && decision.add.is_empty() && decision.take.is_empty());
        assert!(decision.troubles[0].contains("del-port"), "{decision:?}");
    }

    #[test]
    fn what_the_switch_cannot_make_is_said() {
        let failed = port(Some(RED), Made::Failed("no such device".to_owned()));
        let decision = decided(&[RED], &[failed], Place::default());
        assert!(decision.troubles[0].contains("no such device"));
        assert!(decision.remove.is_empty());
    }
}
