//! How routers, floating IPs and load balancers stand.

use crate::api::{
    condition::{Fact, Truth},
    floating_ip::{FloatingIP, FloatingIPStatus},
    load_balancer::{LoadBalancer, LoadBalancerStatus},
    network::NetworkState,
    port::PortAddress,
    router::{GatewayStatus, Router, RouterStatus},
};

use crate::network::plan::{
    balancer::BalancerFinding,
    cloud::uid,
    floating::FloatingFinding,
    ledger::Role,
    problem::{Problem, told},
    router::RouterFinding,
};

use super::{News, accepted, allocated, conditions, ready, realised, state};

/// How a router stands.
pub fn router(router: &Router, finding: &RouterFinding, news: &News<'_>) -> RouterStatus {
    let before = router.status.clone().unwrap_or_default();
    let seen = &finding.seen;
    let mut problems = seen.problems.clone();
    problems.extend(news.refused.iter().cloned());
    let accepted = accepted(&problems);
    let realised = realised(seen.made, news.standing);
    let chosen = if finding.demand.is_empty() || !problems.is_empty() {
        Fact::yes("Allocated", "Allocated", "")
    } else {
        let words = "its addresses are being chosen";
        Fact::no("Allocated", "NotAllocated", words)
    };
    let ready = ready(seen, news, &[&accepted, &chosen, &realised], "it routes");
    let wanted = |label: &str| {
        let mut interfaces = router.spec.interfaces.iter();
        interfaces.any(|interface| interface.subnet.to_string() == label)
    };
    let gateway = finding.gateway.as_ref().map(|network| {
        let held = before.gateway.filter(|held| held.network == *network);
        let kept = held.as_ref().map_or(&[][..], |held| &held.addresses);
        GatewayStatus {
            network: network.clone(),
            addresses: replaced(kept, news.addresses(Role::Gateway)),
            node: finding.node.clone(),
            candidates: finding.candidates.clone(),
        }
    });
    let given = news.addresses(Role::Interface);
    let mut interfaces: Vec<PortAddress> = before.interfaces;
    interfaces.retain(|address| wanted(&address.subnet));
    interfaces.retain(|address| given.iter().all(|given| given.subnet != address.subnet));
    interfaces.extend(given);
    RouterStatus {
        id: Some(uid(router).to_owned()),
        state: Some(match (router.spec.enabled, state(seen, true, &realised)) {
            (false, NetworkState::Active) => NetworkState::Down,
            (_, state) => state,
        }),
        gateway,
        interfaces,
        routes: finding.routes.clone(),
        observed_generation: seen.generation,
        conditions: conditions(
            &before.conditions,
            vec![ready, accepted, realised],
            seen,
            news.now,
        ),
    }
}

/// One address of each family: a new one takes the place of an old one.
fn replaced(kept: &[PortAddress], given: Vec<PortAddress>) -> Vec<PortAddress> {
    let stays = |kept: &&PortAddress| {
        given
            .iter()
            .all(|given| given.ip.is_ipv6() != kept.ip.is_ipv6())
    };
    let mut addresses: Vec<_> = kept.iter().filter(stays).cloned().collect();
    addresses.extend(given);
    addresses.sort_by_key(|address| address.ip);
    addresses
}

/// How a floating IP stands.
pub fn floating(
    floating: &FloatingIP,
    finding: &FloatingFinding,
    news: &News<'_>,
) -> FloatingIPStatus {
    let before = floating.status.clone().unwrap_or_default();
    let seen = &finding.seen;
    let address = before.address.or_else(|| news.addresses(Role::Own).pop());
    let refused = finding.refused.as_ref().or(news.refused.first());
    let allocated = allocated(address.as_slice(), address.is_none(), refused);
    let mut realised = realised(seen.made, news.standing);
    if !finding.wanted && realised.truth == Truth::False {
        let words = "it leads nowhere: spec.port, spec.server or spec.loadBalancer say where to";
        realised = Fact::no("Realised", "NotWanted", words);
    }
    let leads = match (refused, seen.problems.first()) {
        (Some(problem), _) => Fact::no("Leads", problem.reason(), problem.to_string()),
        (None, Some(first)) => Fact::no("Leads", first.reason(), told(&seen.problems)),
        (None, None) => Fact::yes("Leads", "Leads", ""),
    };
    let all = [&allocated, &leads, &realised];
    let (facts, good) = if finding.wanted {
        (&all[..], "it leads where it should")
    } else {
        (&all[..2], "it is reserved, and leads nowhere yet")
    };
    let ready = ready(seen, news, facts, good);
    let state = match state(seen, refused.is_none(), &realised) {
        _ if !finding.wanted && refused.is_none() => NetworkState::Down,
        NetworkState::Build | NetworkState::Down if !seen.problems.is_empty() => {
            NetworkState::Error
        }
        state => state,
    };
    FloatingIPStatus {
        id: Some(uid(floating).to_owned()),
        state: Some(state),
        address,
        port: finding.port.clone(),
        fixed_address: finding.fixed,
        router: finding.router.clone(),
        observed_generation: seen.generation,
        conditions: conditions(
            &before.conditions,
            vec![ready, allocated, realised],
            seen,
            news.now,
        ),
    }
}

/// How a load balancer stands.
pub fn balancer(
    balancer: &LoadBalancer,
    finding: &BalancerFinding,
    news: &News<'_>,
) -> LoadBalancerStatus {
    let before = balancer.status.clone().unwrap_or_default();
    let seen = &finding.seen;
    let address = before.address.or_else(|| news.addresses(Role::Own).pop());
    let refused = finding.refused.as_ref().or(news.refused.first());
    let allocated = allocated(address.as_slice(), address.is_none(), refused);
    let realised = realised(seen.made, news.standing);
    let accepted = accepted(&seen.problems);
    let is_member = |problem: &Problem| problem.reason() == "MemberLeftOut";
    let answers = finding.members.iter().any(|member| member.ip.is_some());
    let partly = answers && seen.problems.iter().all(is_member);
    let all = [&allocated, &accepted, &realised];
    let ready = if partly && !seen.problems.is_empty() {
        let words = format!("it answers, but: {}", accepted.message);
        ready(seen, news, &[all[0], all[2]], words)
    } else {
        ready(seen, news, &all, "it answers")
    };
    let mut monitors = before.monitors;
    let given = news.addresses(Role::Monitor);
    let in_use = |monitor: &PortAddress| finding.monitors.contains(monitor);
    monitors.retain(in_use);
    monitors.extend(given.into_iter().filter(|given| {
        let known = |monitor: &PortAddress| monitor.subnet == given.subnet;
        !finding.monitors.iter().any(known)
    }));
    let count = |count: usize| Some(u32::try_from(count).unwrap_or(u32::MAX));
    let online = |state: &str| {
        finding
            .members
            .iter()
            .filter(|member| member.state.as_deref() == Some(state))
            .count()
    };
    LoadBalancerStatus {
        id: Some(uid(balancer).to_owned()),
        state: Some(state(seen, refused.is_none(), &realised)),
        address,
        monitors,
        total: count(finding.members.len()),
        online: count(online("ONLINE") + online("NO_MONITOR")),
        members: finding.members.clone(),
        observed_generation: seen.generation,
        conditions: conditions(
            &before.conditions,
            vec![ready, allocated, accepted, realised],
            seen,
            news.now,
        ),
    }
}
