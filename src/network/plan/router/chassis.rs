//! Which nodes a router's gateway may be on. Routers spread over the nodes, and stay where they are: a node that comes back
//! does not take them back, since each move costs traffic.

use std::collections::BTreeMap;

use crate::api::{condition, hypervisor::Hypervisor, router::Router, value::Sha256};

use crate::network::plan::{
    cloud::{Cloud, name, uid},
    problem::Problem,
};

/// How many nodes a gateway can be on. OVN's own limit, and enough for as many failures at once as anybody survives.
const CANDIDATES_MAX: usize = 5;

/// The nodes, the preferred first: those that there were before, for as long as they reach the network at all (whether
/// they live is for OVN to see, within a second, and an agent that is silent says nothing about it); then others that are
/// ready, in an order that is another one for each router.
pub fn candidates(cloud: &Cloud, router: &Router, physical: &str) -> Vec<String> {
    let gateway = router
        .status
        .as_ref()
        .and_then(|status| status.gateway.as_ref());
    let before = gateway.map_or(&[][..], |gateway| &gateway.candidates);
    let reaching = |node: &String| {
        let hypervisor = cloud.hypervisors.get("", node);
        hypervisor.is_some_and(|hypervisor| reaches(hypervisor, physical))
    };
    let mut candidates: Vec<String> = before
        .iter()
        .filter(|node| reaching(node))
        .cloned()
        .collect();
    let is_ready = |node: &String| cloud.hypervisors.get("", node).is_some_and(ready);
    let live = candidates.iter().filter(|node| is_ready(node)).count();
    let mut others: Vec<&str> = cloud
        .hypervisors
        .iter()
        .filter(|hypervisor| ready(hypervisor) && reaches(hypervisor, physical))
        .map(name)
        .filter(|node| !candidates.iter().any(|known| known == node))
        .collect();
    let wanted = CANDIDATES_MAX.saturating_sub(live);
    if wanted > 0 && !others.is_empty() {
        others.sort_by_cached_key(|node| Sha256::of(format!("{} {node}", uid(router))));
        candidates.extend(others.into_iter().take(wanted).map(str::to_owned));
    }
    while candidates.len() > CANDIDATES_MAX {
        let dead = candidates.iter().rposition(|node| !is_ready(node));
        candidates.remove(dead.unwrap_or(candidates.len() - 1));
    }
    candidates
}

/// What is wrong with all of them.
pub fn problem(cloud: &Cloud, candidates: &[String], physical: &str) -> Option<Problem> {
    let physical = physical.to_owned();
    if candidates.is_empty() {
        return Some(Problem::NoChassis(physical));
    }
    let is_ready = |node: &String| cloud.hypervisors.get("", node).is_some_and(ready);
    let all_are_not = !candidates.iter().any(is_ready);
    all_are_not.then(|| Problem::ChassisNotReady {
        nodes: candidates.to_vec(),
        physical,
    })
}

/// The priorities by which OVN tells the preferred from the others.
pub fn priorities(candidates: &[String]) -> BTreeMap<String, u16> {
    let priorities = (1..=u16::try_from(candidates.len()).unwrap_or(u16::MAX)).rev();
    candidates.iter().cloned().zip(priorities).collect()
}

/// Whether a node has this physical network, and OVN knows it by its own name.
pub fn reaches(hypervisor: &Hypervisor, physical: &str) -> bool {
    let network = hypervisor
        .status
        .as_ref()
        .and_then(|status| status.network.as_ref());
    network.is_some_and(|network| {
        network.chassis == name(hypervisor)
            && network
                .physical_networks
                .iter()
                .any(|known| known == physical)
    })
}

fn ready(hypervisor: &Hypervisor) -> bool {
    let status = hypervisor.status.as_ref();
    status.is_some_and(|status| condition::holds(&status.conditions, "Ready"))
}
