//! Which NICs of a guest that runs are plugged in or out. One that is off gets them with its definition.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::{
    api::{guest::Guest, server::PowerState},
    node::{
        driver::{DomainInfo, DomainState, PauseReason, PortId},
        plan::action::Recent,
    },
};

use super::{Decision, Step, elapsed};

/// How often a guest is asked again to let go of a NIC: one that is still booting, or whose system is none, does not hear.
pub const UNPLUG_AGAIN: Duration = Duration::from_secs(10);

/// Adds to the decision on a guest whose domain has a process what is done about its NICs.
pub(super) fn with_nics(
    mut decision: Decision,
    guest: &Guest,
    domain: &DomainInfo,
    recent: &Recent,
    now: Timestamp,
) -> Decision {
    let stays = matches!(guest.spec.power, PowerState::Running | PowerState::Paused);
    let is_steady = matches!(
        domain.state,
        DomainState::Running | DomainState::Paused(PauseReason::User | PauseReason::Other)
    );
    if !stays || !is_steady {
        return decision;
    }
    let wanted: Vec<PortId> = wanted(guest).collect();
    let unwanted = |nics: &BTreeSet<PortId>| -> Vec<PortId> {
        let all = nics.iter().copied();
        all.filter(|port| !wanted.contains(port)).collect()
    };
    let going = unwanted(&domain.plugged_nics);
    for port in &going {
        let asked = recent.unplugged_at.get(port);
        let since = asked.map_or(Duration::MAX, |asked| elapsed(*asked, now));
        // A guest that stands still hears nothing.
        if domain.state == DomainState::Running && since >= UNPLUG_AGAIN {
            decision.steps.push(Step::Unplug(*port));
        }
    }
    if !going.is_empty() {
        decision.again = Some(decision.again.unwrap_or(UNPLUG_AGAIN).min(UNPLUG_AGAIN));
    }
    let gone = unwanted(&domain.defined_nics).into_iter();
    let gone = gone.filter(|port| !going.contains(port));
    decision.steps.extend(gone.map(Step::Unplug));
    let missing = wanted
        .into_iter()
        .filter(|port| !domain.plugged_nics.contains(port) || !domain.defined_nics.contains(port));
    decision.steps.extend(missing.map(Step::Plug));
    decision
}

/// The ports of the NICs that the guest shall have, in their order.
pub fn wanted(guest: &Guest) -> impl Iterator<Item = PortId> {
    // The schema lets nothing else through than UUIDs.
    guest
        .spec
        .nics
        .iter()
        .filter_map(|nic| nic.port.parse().ok())
}

#[cfg(test)]
#[path = "nics_tests.rs"]
mod tests;
