//! Which ports the node's switch shall have for this service, and what is to be done with their devices.
//!
//! A port is made by a row, and its device by the switch's daemon, down and without an address, in the host's namespace;
//! from there it is taken into ours. A device goes with the namespace that it is in, and the daemon does not notice: its
//! row has to go, and the daemon to see that, before another one of the name can be made.

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

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In our namespace.
    Ours(u32),
    /// In the host's.
    Host(u32),
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Ports of ours to remove, by name, and why.
    pub remove: BTreeMap<String, &'static str>,
    /// Networks to make ports for, with their devices' names.
    pub add: BTreeMap<String, String>,
    /// Devices to take into our namespace, by name, with their numbers in the host's.
    pub take: BTreeMap<String, u32>,
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
                settle(port, network, places.get(&port.name), &mut decision);
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
fn settle(port: &Found, network: &str, place: Option<&Place>, decision: &mut Decision) {
    let name = port.name.clone();
    match (place, &port.made) {
        (Some(Place::Ours(index)), _) => {
            decision.serve.insert(network.to_owned(), (name, *index));
        }
        (Some(Place::Host(index)), Made::Yes) => {
            decision.take.insert(name, *index);
        }
        (_, Made::Failed(why)) => decision.troubles.push(format!(
            "the switch cannot make port {name} of network {network}: {why}"
        )),
        (Some(Place::Host(_)) | None, Made::NotYet) => decision.troubles.push(format!(
            "the switch has not made port {name} yet: does ovs-vswitchd run?"
        )),
        (None, Made::Yes) => {
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

    fn decided(wanted: &[&str], found: &[Found], place: Option<Place>) -> Decision {
        let places = place.map(|place| (DEVICE.to_owned(), place));
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
        let decision = decided(&[RED], &[], None);
        assert_eq!(
            decision.add,
            BTreeMap::from([(RED.to_owned(), DEVICE.to_owned())])
        );
        let waiting = decided(&[RED], &[port(Some(RED), Made::NotYet)], None);
        assert!(waiting.add.is_empty() && waiting.remove.is_empty());
        assert_eq!(waiting.troubles.len(), 1);
        let made = decided(&[RED], &[port(Some(RED), Made::Yes)], Some(Place::Host(7)));
        assert_eq!(made.take, BTreeMap::from([(DEVICE.to_owned(), 7)]));
        let taken = decided(&[RED], &[port(Some(RED), Made::Yes)], Some(Place::Ours(7)));
        assert_eq!(
            taken.serve,
            BTreeMap::from([(RED.to_owned(), (DEVICE.to_owned(), 7))])
        );
        assert!(taken.is_settled());
    }

    #[test]
    fn a_port_without_its_device_goes_before_it_comes_again() {
        let decision = decided(&[RED], &[port(Some(RED), Made::Yes)], None);
        assert!(decision.remove.contains_key(DEVICE) && decision.add.is_empty());
    }

    #[test]
    fn a_port_of_a_network_that_nobody_is_on_goes_wherever_its_device_is() {
        for place in [None, Some(Place::Ours(7)), Some(Place::Host(7))] {
            let decision = decided(&[], &[port(Some(RED), Made::Yes)], place);
            assert!(decision.remove.contains_key(DEVICE));
        }
        // Of another network whose UID begins so.
        let other = "4ba4e3ee-7ed1-0000-0000-000000000000";
        let decision = decided(&[RED], &[port(Some(other), Made::Yes)], None);
        assert!(decision.remove.contains_key(DEVICE) && decision.add.is_empty());
    }

    #[test]
    fn anothers_port_is_left_alone_and_complained_of() {
        let stranger = [port(None, Made::Yes)];
        assert_eq!(decided(&[], &stranger, None), Decision::default());
        let decision = decided(&[RED], &stranger, Some(Place::Host(7)));
        assert!(decision.remove.is_empty() && decision.add.is_empty() && decision.take.is_empty());
        assert!(decision.troubles[0].contains("del-port"), "{decision:?}");
    }

    #[test]
    fn what_the_switch_cannot_make_is_said() {
        let failed = port(Some(RED), Made::Failed("no such device".to_owned()));
        let decision = decided(&[RED], &[failed], None);
        assert!(decision.troubles[0].contains("no such device"));
        assert!(decision.remove.is_empty());
    }
}
