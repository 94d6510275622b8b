//! How networks, subnets, ports and security groups stand.

use crate::{
    api::{
        condition::Fact,
        network::{Network, NetworkState, NetworkStatus},
        port::{Port, PortStatus},
        security_group::{SecurityGroup, SecurityGroupStatus},
        subnet::{Subnet, SubnetStatus},
    },
    network::{
        plan::{
            cloud::uid,
            group::GroupFinding,
            ledger::Role,
            port::PortFinding,
            problem::told,
            survey::{NetworkFinding, SubnetFinding},
        },
        realiser::Standing,
    },
};

use super::{News, accepted, allocated, conditions, ready, realised, state};

/// How a network stands.
pub fn network(network: &Network, finding: &NetworkFinding, news: &News<'_>) -> NetworkStatus {
    let before = network.status.as_ref();
    let seen = &finding.seen;
    let accepted = accepted(&seen.problems);
    let realised = realised(seen.made, news.standing);
    let ready = ready(
        seen,
        news,
        &[&accepted, &realised],
        "ports can be made on it",
    );
    NetworkStatus {
        id: Some(uid(network).to_owned()),
        state: Some(state(seen, seen.made, &realised)),
        mtu: Some(finding.mtu),
        subnets: finding.subnets.clone(),
        ports: Some(finding.ports),
        observed_generation: seen.generation,
        conditions: conditions(
            before.map_or(&[], |status| &status.conditions),
            vec![ready, accepted, realised],
            seen,
            news.now,
        ),
    }
}

/// How a subnet stands.
pub fn subnet(subnet: &Subnet, finding: &SubnetFinding, news: &News<'_>) -> SubnetStatus {
    let before = subnet.status.as_ref();
    let seen = &finding.seen;
    let accepted = accepted(&seen.problems);
    let ready = ready(seen, news, &[&accepted], "ports can have addresses of it");
    // A condition that is false keeps its subnet behind those that were accepted: elements that are left out do not count.
    let accepted = if finding.accepted && !seen.problems.is_empty() {
        Fact::yes("Accepted", "PartlyAccepted", accepted.message)
    } else {
        accepted
    };
    SubnetStatus {
        id: Some(uid(subnet).to_owned()),
        gateway: finding.gateway,
        free: Some(finding.free.to_string()),
        observed_generation: seen.generation,
        conditions: conditions(
            before.map_or(&[], |status| &status.conditions),
            vec![ready, accepted],
            seen,
            news.now,
        ),
    }
}

/// How a port stands. What it has stays, whatever becomes of the rest.
pub fn port(port: &Port, finding: &PortFinding, news: &News<'_>) -> PortStatus {
    let before = port.status.clone().unwrap_or_default();
    let seen = &finding.seen;
    let given = news.given.and_then(|given| given.mac.as_ref());
    let mac = before.mac.or(given.map(|(_, mac)| *mac));
    let mut addresses = before.addresses;
    if addresses.is_empty() {
        addresses = news.addresses(Role::Own);
    }
    let refused = finding.refused.as_ref().or(news.refused.first());
    let allocated = allocated(&addresses, mac.is_none() || addresses.is_empty(), refused);
    // What was just given is wanted by the next survey: to say for so long that nothing of it is would cost a write.
    let made =
        seen.made || refused.is_none() && news.given.is_some_and(|given| !given.grants.is_empty());
    let realised = port_realised(finding, made, news.standing);
    let sound = match (refused, seen.problems.first()) {
        (Some(problem), _) => Fact::no("Sound", problem.reason(), problem.to_string()),
        (None, Some(first)) => Fact::no("Sound", first.reason(), told(&seen.problems)),
        (None, None) => Fact::yes("Sound", "Sound", ""),
    };
    let written = super::realised(made, news.standing);
    let flows = if finding.node.is_some() {
        &realised
    } else {
        &written
    };
    let ready = ready(
        seen,
        news,
        &[&sound, &allocated, flows],
        "its server can use it",
    );
    let state = match (news.standing, refused) {
        (_, Some(_)) | (Standing::Failed(_), None) => NetworkState::Error,
        (Standing::Up, None) if finding.node.is_some() => NetworkState::Active,
        (Standing::Unknown(_) | Standing::Written | Standing::Up, None) => NetworkState::Down,
        (Standing::Absent | Standing::Pending, None) => NetworkState::Build,
    };
    PortStatus {
        id: Some(uid(port).to_owned()),
        state: Some(state),
        mac,
        addresses,
        network: before.network.or_else(|| mac.and(finding.network.clone())),
        mtu: finding.mtu,
        port_security: finding.secure.or(before.port_security),
        server: finding.server.clone(),
        node: finding.node.clone(),
        observed_generation: seen.generation,
        conditions: conditions(
            &before.conditions,
            vec![ready, allocated, realised],
            seen,
            news.now,
        ),
    }
}

/// Whether the flows are on the port's node.
fn port_realised(finding: &PortFinding, made: bool, standing: &Standing) -> Fact {
    const KIND: &str = "Realised";
    match (standing, &finding.node) {
        (Standing::Up, Some(node)) => Fact::yes(
            KIND,
            "Installed",
            format!("the flows are on hypervisor {node}"),
        ),
        (Standing::Written | Standing::Up, None) => Fact::no(
            KIND,
            "NotBound",
            "OVN has it; it is on no hypervisor, since no server uses it that has one",
        ),
        (Standing::Written, Some(node)) => Fact::no(
            KIND,
            "Pending",
            format!(
                "OVN has it, and hypervisor {node} has not said that the flows are there: its server may be off, or see `kubectl describe hypervisor {node}`"
            ),
        ),
        (standing, _) => realised(made, standing),
    }
}

/// How a security group stands.
pub fn group(
    group: &SecurityGroup,
    finding: &GroupFinding,
    news: &News<'_>,
) -> SecurityGroupStatus {
    let before = group.status.as_ref();
    let seen = &finding.seen;
    let accepted = accepted(&seen.problems);
    let realised = realised(seen.made, news.standing);
    let ready = ready(seen, news, &[&accepted, &realised], "its rules hold");
    SecurityGroupStatus {
        id: Some(uid(group).to_owned()),
        rules: Some(finding.rules),
        ports: Some(finding.ports),
        observed_generation: seen.generation,
        conditions: conditions(
            before.map_or(&[], |status| &status.conditions),
            vec![ready, accepted, realised],
            seen,
            news.now,
        ),
    }
}
