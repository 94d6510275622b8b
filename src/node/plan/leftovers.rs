//! Which ports of the integration bridge are left of guests that ended with their host's power.
//!
//! libvirt makes a port for a NIC and removes it when its guest ends; after a loss of power nobody does. OVN then sees two
//! ports of one name, or one whose guest may run elsewhere by now, and may bind the wrong one.

use std::collections::BTreeSet;

use crate::{
    node::driver::DomainId,
    ovsdb::{
        Uuid,
        vswitch::{Interface, Port},
    },
};

use super::guard;

/// What libvirt writes beside the UUID of the domain.
const MAC: &str = "attached-mac";

/// What libvirt calls devices whose names it chooses.
const NAME: &str = "vnet";

/// Where libvirt writes `active` each time that it makes a port, or takes one that is there already.
pub const STATUS: &str = "iface-status";

/// What is written there of a port that is about to be removed. Who takes it meanwhile takes that away.
pub const MARK: &str = "leftover";

/// What the daemon says of a port whose device is not there.
const NO_DEVICE: i64 = -1;

/// A port that libvirt made, and whose device is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Leftover {
    /// The port's row.
    pub port: Uuid,
    /// The row of its interface.
    pub interface: Uuid,
    /// What that says.
    pub said: Interface,
    /// The domain that it was made for.
    pub domain: DomainId,
    /// Whether another port, whose device is there, has its name in OVN.
    pub is_replaced: bool,
}

impl Leftover {
    /// Whether it is of no use: its domain does not run, or has another port in its place.
    pub fn is_useless(&self, domain_runs: bool) -> bool {
        self.is_replaced || !domain_runs
    }

    /// Whether it was of no use before, and nobody has taken it since.
    pub fn is_marked(&self) -> bool {
        let status = self.said.external_ids.get(STATUS);
        status.is_some_and(|status| status == MARK)
    }
}

/// What may be left, of the ports of the integration bridge.
///
/// libvirt makes the device before the port, so no guest uses a port whose device is not there.
pub fn leftovers(ports: &[(Uuid, Port)], interfaces: &[(Uuid, Interface)]) -> Vec<Leftover> {
    let live = interfaces
        .iter()
        .filter(|(_, interface)| interface.ofport.is_some_and(|number| number > 0))
        .filter_map(|(_, interface)| interface.external_ids.get(guard::PORT));
    let live: BTreeSet<&String> = live.collect();
    let of_port = |port: &Port| {
        let [interface] = &port.interfaces.iter().collect::<Vec<_>>()[..] else {
            return None;
        };
        let uuid = interface.uuid()?;
        let mut found = interfaces.iter().filter(|(row, _)| *row == uuid);
        found.next().filter(|(_, said)| said.name == port.name)
    };
    let gone = ports.iter().filter_map(|(port, row)| {
        let (interface, said) = of_port(row)?;
        let domain = made_for(said)?;
        let name = said.external_ids.get(guard::PORT)?;
        Some(Leftover {
            port: *port,
            interface: *interface,
            said: said.clone(),
            domain,
            is_replaced: live.contains(name),
        })
    });
    gone.collect()
}

/// The domain that libvirt made an interface for, if its device is not there.
fn made_for(interface: &Interface) -> Option<DomainId> {
    let number = interface.name.strip_prefix(NAME)?;
    let is_libvirts = !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && interface.kind.is_empty()
        && interface.external_ids.contains_key(MAC);
    if !is_libvirts || interface.ofport != Some(NO_DEVICE) {
        return None;
    }
    interface.external_ids.get(guard::DOMAIN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        node::plan::fixtures::{UID, port},
        ovsdb::Reference,
    };

    fn row(number: u128) -> Uuid {
        number.into()
    }

    /// A bridge with one port, which libvirt made, and whose device is not there; `change` may make it another.
    fn found(change: impl Fn(&mut Port, &mut Interface)) -> usize {
        let mut interface = interface("vnet0", NO_DEVICE);
        let mut port = Port {
            name: "vnet0".to_owned(),
            interfaces: [Reference::Row(row(2))].into(),
            ..Port::default()
        };
        change(&mut port, &mut interface);
        leftovers(&[(row(1), port)], &[(row(2), interface)]).len()
    }

    fn interface(name: &str, number: i64) -> Interface {
        let ids = [
            ("vm-id", UID.to_owned()),
            ("attached-mac", "02:00:00:00:00:01".to_owned()),
            ("iface-id", port(1).to_string()),
        ];
        Interface {
            name: name.to_owned(),
            external_ids: ids.map(|(key, value)| (key.to_owned(), value)).into(),
            ofport: Some(number),
            ..Interface::default()
        }
    }

    #[test]
    fn a_port_is_left_if_libvirt_made_it_and_its_device_is_gone() {
        assert_eq!(found(|_, _| {}), 1);
        // Its device is there, or nobody has looked yet.
        assert_eq!(found(|_, interface| interface.ofport = Some(5)), 0);
        assert_eq!(found(|_, interface| interface.ofport = None), 0);
        // Others': a tunnel, the metadata service's, a bond, one that an administrator named.
        assert_eq!(
            found(|_, interface| interface.kind = "geneve".to_owned()),
            0
        );
        assert_eq!(
            found(|_, interface| interface.kind = "internal".to_owned()),
            0
        );
        for name in ["vm-id", "attached-mac", "iface-id"] {
            let without = |_: &mut Port, interface: &mut Interface| {
                interface.external_ids.remove(name);
            };
            assert_eq!(found(without), 0, "{name}");
        }
        for name in ["vnet", "vnetx", "tap0", "eth0"] {
            let called = |port: &mut Port, interface: &mut Interface| {
                port.name = name.to_owned();
                interface.name = name.to_owned();
            };
            assert_eq!(found(called), 0, "{name}");
        }
        assert_eq!(found(|port, _| port.name = "bond0".to_owned()), 0);
        let bonded = |port: &mut Port, _: &mut Interface| {
            port.interfaces.insert(Reference::Row(row(3)));
        };
        assert_eq!(found(bonded), 0);
    }

    #[test]
    fn what_is_left_of_a_domain_that_runs_goes_when_it_has_another_in_its_place() {
        let port = Port {
            name: "vnet0".to_owned(),
            interfaces: [Reference::Row(row(2))].into(),
            ..Port::default()
        };
        let left = |other: i64| {
            let interfaces = [
                (row(2), interface("vnet0", NO_DEVICE)),
                (row(3), interface("vnet1", other)),
            ];
            leftovers(&[(row(1), port.clone())], &interfaces).remove(0)
        };
        assert!(left(NO_DEVICE).is_useless(false));
        assert!(!left(NO_DEVICE).is_useless(true));
        assert!(left(7).is_useless(true));
    }
}
