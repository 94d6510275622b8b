//! Every kind of this room, as the reconciler needs to know it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::object::HasStatus;

use crate::{
    api::{
        floating_ip::FloatingIP, load_balancer::LoadBalancer, network::Network, port::Port,
        router::Router, security_group::SecurityGroup, subnet::Subnet,
    },
    cluster::Cache,
    network::plan::{
        Seen,
        balancer::BalancerFinding,
        cloud::uid,
        floating::FloatingFinding,
        group::GroupFinding,
        ledger::Demand,
        patience::{self, Crowd},
        port::PortFinding,
        router::RouterFinding,
        standing::{self, News},
        survey::{Findings, NetworkFinding, SubnetFinding},
        topology::Uid,
    },
};

use super::{Caches, kind::Kind};

/// What is the same for each kind: where its copy and its findings are, and who says how it stands.
macro_rules! common {
    ($finding:ty, $field:ident, $standing:path) => {
        type Finding = $finding;

        fn cache(caches: &Caches) -> &Arc<Cache<Self>> {
            &caches.$field
        }

        fn findings(findings: &Findings) -> &BTreeMap<Uid, $finding> {
            &findings.$field
        }

        fn seen(finding: &$finding) -> &Seen {
            &finding.seen
        }

        fn standing(&self, finding: &$finding, news: &News<'_>) -> Self::Status {
            $standing(self, finding, news)
        }

        fn conditions(status: &<Self as HasStatus>::Status) -> &[Condition] {
            &status.conditions
        }
    };
}

/// The same for those that count who uses them.
macro_rules! counting {
    ($count:ident) => {
        fn patience(
            before: Option<&Self::Status>,
            after: &Self::Status,
            _crowd: Crowd,
        ) -> Option<Duration> {
            let mut before = before?.clone();
            before.$count.clone_from(&after.$count);
            (before == *after).then_some(patience::COUNTS)
        }
    };
}

/// The same for those that nobody uses.
macro_rules! unused {
    ($finding:ty) => {
        fn is_to_be_held(_finding: &$finding) -> bool {
            false
        }
    };
}

/// The same for those that have several addresses, each of which is of use without the others.
macro_rules! demanding {
    ($finding:ty) => {
        fn demands(finding: &$finding) -> Vec<Demand> {
            let slots = finding.demand.slots.iter();
            let demands = slots.map(|slot| Demand {
                slots: vec![slot.clone()],
                ..Demand::default()
            });
            demands.collect()
        }
    };
}

impl Kind for Network {
    const NAME: &'static str = "network";
    common!(NetworkFinding, networks, standing::network);
    counting!(ports);

    fn place(&self) -> Option<(Uid, Option<Uid>)> {
        Some((uid(self).to_owned(), None))
    }
}

impl Kind for Subnet {
    const NAME: &'static str = "subnet";
    common!(SubnetFinding, subnets, standing::subnet);
    counting!(free);

    fn place(&self) -> Option<(Uid, Option<Uid>)> {
        Some((String::new(), Some(uid(self).to_owned())))
    }
}

impl Kind for Port {
    const NAME: &'static str = "port";
    common!(PortFinding, ports, standing::port);

    /// Once a server has it, and before that is said: no guest has the NIC earlier.
    fn is_to_be_held(finding: &PortFinding) -> bool {
        finding.server.is_some()
    }

    fn demands(finding: &PortFinding) -> Vec<Demand> {
        finding.lacks().cloned().into_iter().collect()
    }

    fn wants_default(finding: &PortFinding) -> bool {
        finding.wants_default
    }

    fn patience(
        before: Option<&Self::Status>,
        after: &Self::Status,
        crowd: Crowd,
    ) -> Option<Duration> {
        patience::port(before, after, crowd)
    }
}

impl Kind for Router {
    const NAME: &'static str = "router";
    common!(RouterFinding, routers, standing::router);
    demanding!(RouterFinding);
}

impl Kind for SecurityGroup {
    const NAME: &'static str = "securitygroup";
    common!(GroupFinding, groups, standing::group);
    counting!(ports);
}

impl Kind for FloatingIP {
    const NAME: &'static str = "floatingip";
    common!(FloatingFinding, floating, standing::floating);
    unused!(FloatingFinding);
    demanding!(FloatingFinding);

    fn row(finding: &FloatingFinding) -> &str {
        &finding.row
    }
}

impl Kind for LoadBalancer {
    const NAME: &'static str = "loadbalancer";
    common!(BalancerFinding, balancers, standing::balancer);
    unused!(BalancerFinding);
    demanding!(BalancerFinding);
}
