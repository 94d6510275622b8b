//! What Prometheus is told of the cloud as a whole: what is, not what happened.
//!
//! Only the operator that leads tells it: what a standby remembers of an earlier lead is no longer true, and two that
//! tell the same would be counted twice. A family of a standby has no samples at all.

use std::{sync::atomic::AtomicU64, time::Duration};

use kube::ResourceExt;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
};

use crate::{
    api::{condition, hypervisor::Hypervisor, server::ServerState, value::Size},
    cluster::metrics::Registry,
    compute::plan::scheduler::{Account, Amounts},
};

/// The label by which Kubernetes' nodes, and so hypervisors, say where they stand.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The only one of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Only {}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct In {
    state: &'static str,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Readiness {
    ready: &'static str,
}

/// Hypervisors come and go with nodes: there are as many names as there are nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct On {
    hypervisor: String,
    zone: String,
}

/// A gauge for each hypervisor.
type ByHost = Family<On, Gauge>;

/// The cloud's families.
#[derive(Clone, Default)]
pub struct CloudMetrics {
    leader: Gauge,
    servers: Family<In, Gauge>,
    waiting: Family<Only, Gauge>,
    hypervisors: Family<Readiness, Gauge>,
    ready: ByHost,
    schedulable: ByHost,
    silence: Family<On, Gauge<f64, AtomicU64>>,
    bound: ByHost,
    capacity: Each,
    allocatable: Each,
    allocated: Each,
}

/// A gauge for each resource of each hypervisor.
#[derive(Clone, Default)]
struct Each {
    vcpus: ByHost,
    memory: ByHost,
    disk: ByHost,
}

/// How a hypervisor stands.
pub struct Standing<'a> {
    /// As the cluster has it.
    pub hypervisor: &'a Hypervisor,
    /// As the scheduler has it.
    pub account: Account,
    /// How long its agent has been silent; none for one that was never heard of.
    pub silence: Option<Duration>,
}

impl CloudMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "leader",
            "Whether this operator leads, 1 or 0; a standby tells nothing of servers and hypervisors",
            &metrics.leader,
        );
        registry.register("servers", "Servers, by state", &metrics.servers);
        registry.register(
            "scheduler_waiting_servers",
            "Servers that wait for room",
            &metrics.waiting,
        );
        registry.register(
            "hypervisors",
            "Hypervisors, by whether they can take servers",
            &metrics.hypervisors,
        );
        metrics.register_hosts(registry);
        metrics
    }

    fn register_hosts(&self, registry: &mut Registry) {
        registry.register(
            "hypervisor_ready",
            "Whether the hypervisor can take servers, 1 or 0",
            &self.ready,
        );
        registry.register(
            "hypervisor_schedulable",
            "Whether an administrator lets new servers come, 1 or 0",
            &self.schedulable,
        );
        registry.register(
            "hypervisor_silence_seconds",
            "Time since the agent's last heartbeat, or since this operator began to listen; none: never heard of",
            &self.silence,
        );
        registry.register(
            "hypervisor_servers",
            "Servers bound to the hypervisor, whether they run or not",
            &self.bound,
        );
        self.capacity.register(
            registry,
            "capacity",
            "what the host has, without reserve and overcommit",
        );
        self.allocatable.register(
            registry,
            "allocatable",
            "what all servers together may have: capacity less the reserve, times the overcommit",
        );
        self.allocated.register(
            registry,
            "allocated",
            "what servers have, whether they run or not",
        );
    }

    /// Tells that this operator stands by, and so nothing else.
    pub fn stand_by(&self) {
        self.leader.set(0);
        self.forget();
    }

    /// Tells how the cloud stands; what was told before is forgotten.
    pub fn lead<'a>(
        &self,
        servers: impl IntoIterator<Item = ServerState>,
        waiting: usize,
        hypervisors: impl IntoIterator<Item = Standing<'a>>,
    ) {
        self.forget();
        self.leader.set(1);
        // What there is none of is 0, and not unknown.
        for state in ServerState::ALL {
            let state = state.as_str();
            self.servers.get_or_create(&In { state }).set(0);
        }
        for state in servers {
            let state = state.as_str();
            self.servers.get_or_create(&In { state }).inc();
        }
        self.waiting.get_or_create(&Only {}).set(whole(waiting));
        for ready in [true, false] {
            self.hypervisors.get_or_create(&readiness(ready)).set(0);
        }
        for standing in hypervisors {
            self.host(&standing);
        }
    }

    fn host(&self, standing: &Standing<'_>) {
        let Standing {
            hypervisor,
            account,
            silence,
        } = standing;
        let on = On {
            hypervisor: hypervisor.name_any(),
            zone: hypervisor.labels().get(ZONE).cloned().unwrap_or_default(),
        };
        let status = hypervisor.status.as_ref();
        let ready = status.is_some_and(|status| condition::holds(&status.conditions, "Ready"));
        self.hypervisors.get_or_create(&readiness(ready)).inc();
        self.ready.get_or_create(&on).set(i64::from(ready));
        let schedulable = hypervisor.spec.schedulable;
        self.schedulable
            .get_or_create(&on)
            .set(i64::from(schedulable));
        if let Some(silence) = silence {
            self.silence.get_or_create(&on).set(silence.as_secs_f64());
        }
        self.bound
            .get_or_create(&on)
            .set(account.usage.servers.into());
        if let Some(capacity) = status.and_then(|status| status.capacity) {
            let bytes = [capacity.memory, capacity.disk].map(Size::as_bytes);
            self.capacity.set(&on, capacity.vcpus.into(), bytes);
        }
        self.allocatable.set_amounts(&on, account.allocatable);
        self.allocated.set_amounts(&on, account.usage.taken);
    }

    fn forget(&self) {
        let Self {
            leader: _,
            servers,
            waiting,
            hypervisors,
            ready,
            schedulable,
            silence,
            bound,
            capacity,
            allocatable,
            allocated,
        } = self;
        servers.clear();
        waiting.clear();
        hypervisors.clear();
        silence.clear();
        for family in [ready, schedulable, bound] {
            family.clear();
        }
        for Each {
            vcpus,
            memory,
            disk,
        } in [capacity, allocatable, allocated]
        {
            for family in [vcpus, memory, disk] {
                family.clear();
            }
        }
    }
}

impl Each {
    fn register(&self, registry: &mut Registry, word: &str, help: &str) {
        for (resource, title, family) in [
            ("vcpus", "Virtual CPUs", &self.vcpus),
            ("memory_bytes", "Memory", &self.memory),
            ("disk_bytes", "Disk", &self.disk),
        ] {
            let name = format!("hypervisor_{word}_{resource}");
            registry.register(&name, &format!("{title}: {help}"), family);
        }
    }

    fn set_amounts(&self, on: &On, amounts: Amounts) {
        let bytes = [amounts.memory_mib, amounts.disk_mib].map(|mib| mib.saturating_mul(1 << 20));
        self.set(on, amounts.vcpus, bytes);
    }

    fn set(&self, on: &On, vcpus: u64, [memory, disk]: [u64; 2]) {
        self.vcpus.get_or_create(on).set(whole(vcpus));
        self.memory.get_or_create(on).set(whole(memory));
        self.disk.get_or_create(on).set(whole(disk));
    }
}

fn readiness(ready: bool) -> Readiness {
    let ready = if ready { "true" } else { "false" };
    Readiness { ready }
}

/// More than Prometheus could tell from its neighbours is as good as the most.
fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
