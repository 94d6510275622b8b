//! Which addresses a port lacks: those that its owner wishes for, or one of each family that its network has.

use crate::{
    api::{
        port::{AddressWish, Port},
        security_group::Family,
    },
    network::plan::{
        cloud::{full, home, leaving, name, uid},
        layout::{Layout, Net, Sub},
        ledger::{Demand, Role, Slot, Wish},
        problem::Problem,
    },
};

/// What a port lacks: what was given and is not in its status may be lost, so it is lacking.
pub fn demand(layout: &Layout<'_>, net: &Net<'_>, port: &Port) -> Result<Demand, Problem> {
    let status = port.status.as_ref();
    let has_mac = status.and_then(|status| status.mac);
    let mut demand = Demand {
        has_mac,
        ..Demand::default()
    };
    if leaving(port) {
        return Ok(demand);
    }
    if has_mac.is_none() {
        demand.mac = Some((net.uid.to_owned(), port.spec.mac));
    }
    if status.is_none_or(|status| status.addresses.is_empty()) {
        demand.slots = if port.spec.addresses.is_empty() {
            free_slots(layout, net)?
        } else {
            wished_slots(layout, net, &port.spec.addresses)?
        };
    }
    Ok(demand)
}

/// What the port's owner wishes for, and the addresses that the guest makes for itself in any case: it hears every prefix
/// that a router tells of, and could not use an address that is not its port's.
fn wished_slots(
    layout: &Layout<'_>,
    net: &Net<'_>,
    wishes: &[AddressWish],
) -> Result<Vec<Slot>, Problem> {
    let wishes = wishes.iter().map(|wish| wished(layout, net, wish));
    let mut slots: Vec<Slot> = wishes.collect::<Result<_, _>>()?;
    for slaac in slaac_slots(layout, net) {
        if !slots.iter().any(|slot| slot.choices == slaac.choices) {
            slots.push(slaac);
        }
    }
    Ok(slots)
}

/// One of each family that the network has, and every one that the guest makes for itself.
fn free_slots(layout: &Layout<'_>, net: &Net<'_>) -> Result<Vec<Slot>, Problem> {
    let of = |family| {
        let subs = layout.subs_of(net);
        let open: Vec<&Sub<'_>> = subs
            .filter(|sub| sub.family() == family && !leaving(sub.object))
            .collect();
        (!open.is_empty()).then(|| slot(&open, Wish::Any))
    };
    let slaac = slaac_slots(layout, net);
    let other = if slaac.is_empty() {
        of(Family::Ipv6)
    } else {
        None
    };
    let slots: Vec<Slot> = of(Family::Ipv4)
        .into_iter()
        .chain(slaac)
        .chain(other)
        .collect();
    if slots.is_empty() {
        return Err(Problem::NoSubnetYet(full(net.object)));
    }
    Ok(slots)
}

fn slaac_slots(layout: &Layout<'_>, net: &Net<'_>) -> Vec<Slot> {
    let subs = layout.subs_of(net);
    subs.filter(|sub| sub.is_slaac() && !leaving(sub.object))
        .map(|sub| slot(&[sub], Wish::Slaac))
        .collect()
}

fn slot(subs: &[&Sub<'_>], wish: Wish) -> Slot {
    let choice = |sub: &&Sub<'_>| (sub.uid.to_owned(), name(sub.object).to_owned());
    Slot {
        role: Role::Own,
        choices: subs.iter().map(choice).collect(),
        wish,
    }
}

fn wished(layout: &Layout<'_>, net: &Net<'_>, wish: &AddressWish) -> Result<Slot, Problem> {
    let sub = match (&wish.subnet, wish.ip) {
        (Some(subnet), _) => named(layout, net, subnet)?,
        (None, Some(ip)) => {
            let mut subs = layout.subs_of(net);
            subs.find(|sub| sub.cidr.contains(ip)).ok_or_else(|| {
                let cidrs: Vec<_> = layout
                    .subs_of(net)
                    .map(|sub| sub.cidr.to_string())
                    .collect();
                if cidrs.is_empty() {
                    return Problem::NoSubnetYet(full(net.object));
                }
                Problem::AddressNowhere {
                    ip,
                    network: full(net.object),
                    subnets: cidrs.join(", "),
                }
            })?
        }
        // The schema rules it out.
        (None, None) => return Err(Problem::NoSubnetYet(full(net.object))),
    };
    Ok(slot(
        &[sub],
        match wish.ip {
            None if sub.is_slaac() => Wish::Slaac,
            None => Wish::Any,
            Some(ip) => Wish::This(ip),
        },
    ))
}

fn named<'b, 'a>(
    layout: &'b Layout<'a>,
    net: &Net<'a>,
    subnet: &str,
) -> Result<&'b Sub<'a>, Problem> {
    let project = home(net.object);
    let found = layout.cloud.subnets.get(project, subnet);
    let sub = found.and_then(|found| layout.subs.get(uid(found)));
    let sub = sub.ok_or_else(|| Problem::NoSubnet {
        subnet: subnet.to_owned(),
        network: full(net.object),
    })?;
    if sub.network != Some(net.uid) {
        return Err(Problem::SubnetElsewhere {
            subnet: full(sub.object),
            its: format!("{project}/{}", sub.object.spec.network),
            network: full(net.object),
        });
    }
    if !sub.accepted {
        return Err(Problem::SubnetRefused(full(sub.object)));
    }
    Ok(sub)
}
