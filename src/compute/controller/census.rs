//! Counts the cloud each time that Prometheus asks, for as long as this operator leads. From copies in memory: nobody is
//! asked anything, and an operator that nobody asks counts nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use tokio::time::Instant;

use crate::{
    api::server::ServerState,
    cluster::metrics::Registry,
    compute::{
        metrics::{CloudMetrics, Standing},
        plan::hypervisor::Voice,
    },
};

use super::Context;

/// Who counts.
#[derive(Clone)]
pub struct Census(Arc<Inner>);

struct Inner {
    metrics: CloudMetrics,
    /// What this operator leads with; none while it stands by.
    leads: Mutex<Option<Arc<Context>>>,
}

/// While this is held, the cloud is counted.
#[must_use = "the cloud is counted only while this is held"]
pub struct Lead(Census);

impl Census {
    /// Registers the families. Tells that this operator stands by.
    pub fn new(registry: &mut Registry) -> Self {
        let census = Self(Arc::new(Inner {
            metrics: CloudMetrics::new(registry),
            leads: Mutex::default(),
        }));
        let counting = census.clone();
        registry.look_first(move || counting.count());
        census
    }

    /// From now on this operator leads, until the answer is dropped.
    pub fn lead(&self, context: Arc<Context>) -> Lead {
        *self.locked() = Some(context);
        Lead(self.clone())
    }

    fn count(&self) {
        let metrics = &self.0.metrics;
        // Cloned, so that a lost lead need not wait for the count.
        let Some(context) = self.locked().clone() else {
            metrics.stand_by();
            return;
        };
        let caches = &context.caches;
        // One that nobody has looked at yet is being built as much as any.
        let state = |status: Option<&crate::api::server::ServerStatus>| {
            status
                .and_then(|status| status.state)
                .unwrap_or(ServerState::Build)
        };
        let servers = caches.servers.all();
        let states = servers.iter().map(|server| state(server.status.as_ref()));
        let (accounts, now) = (context.scheduler.accounts(), Instant::now());
        let hypervisors = caches.hypervisors.all();
        let standings = hypervisors.iter().map(|hypervisor| {
            let name = hypervisor.name_any();
            Standing {
                hypervisor,
                account: accounts.get(&name).copied().unwrap_or_default(),
                silence: match context.heartbeats.voice(&name, now) {
                    Voice::Heard(past) | Voice::Unconfirmed(past) => Some(past),
                    Voice::Never => None,
                },
            }
        });
        metrics.lead(states, context.scheduler.waiting(), standings);
    }

    fn locked(&self) -> MutexGuard<'_, Option<Arc<Context>>> {
        self.0.leads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        *self.0.locked() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::value::Size,
        cluster::{metrics, mock::MockServer},
        compute::{
            controller::fixtures::Cluster,
            plan::{
                fixtures::{NODE, bound, server},
                scheduler::fixtures::hypervisor,
            },
        },
    };

    fn context() -> Arc<Context> {
        let mut host = hypervisor(8, Size::gib(16), Size::gib(100));
        host.metadata.name = Some(NODE.to_owned());
        let zone = ("topology.kubernetes.io/zone".to_owned(), "east".to_owned());
        host.metadata.labels = Some([zone].into());
        host.spec.overcommit.cpu_percent = 200;
        host.spec.reserved.memory = Size::gib(4);
        let mut fresh = server();
        fresh.metadata.name = Some("web-2".to_owned());
        let cluster = Cluster {
            servers: vec![bound(), fresh],
            hypervisors: vec![host],
            ..Cluster::default()
        };
        cluster.context(&MockServer::new())
    }

    #[tokio::test]
    async fn only_a_leader_counts_the_cloud() {
        let mut registry = metrics::registry();
        let census = Census::new(&mut registry);
        let alone = registry.encode().unwrap();
        assert!(alone.contains("kilonova_leader 0\n"), "{alone}");

        let lead = census.lead(context());
        let page = registry.encode().unwrap();
        let on = format!("{{hypervisor=\"{NODE}\",zone=\"east\"}}");
        for sample in [
            "kilonova_leader 1\n".to_owned(),
            "kilonova_servers{state=\"BUILD\"} 2\n".to_owned(),
            "kilonova_servers{state=\"ERROR\"} 0\n".to_owned(),
            "kilonova_scheduler_waiting_servers{} 0\n".to_owned(),
            "kilonova_hypervisors{ready=\"true\"} 1\n".to_owned(),
            "kilonova_hypervisors{ready=\"false\"} 0\n".to_owned(),
            format!("kilonova_hypervisor_ready{on} 1\n"),
            format!("kilonova_hypervisor_schedulable{on} 1\n"),
            format!("kilonova_hypervisor_servers{on} 1\n"),
            format!("kilonova_hypervisor_capacity_vcpus{on} 8\n"),
            format!("kilonova_hypervisor_allocatable_vcpus{on} 16\n"),
            format!("kilonova_hypervisor_allocated_vcpus{on} 1\n"),
            format!(
                "kilonova_hypervisor_capacity_memory_bytes{on} {}\n",
                16_u64 << 30
            ),
            format!(
                "kilonova_hypervisor_allocatable_memory_bytes{on} {}\n",
                12_u64 << 30
            ),
            format!(
                "kilonova_hypervisor_allocated_memory_bytes{on} {}\n",
                128_u64 << 20
            ),
        ] {
            assert!(page.contains(&sample), "no {sample} in {page}");
        }
        assert!(
            !page.contains("silence"),
            "its agent was never heard of: {page}"
        );

        drop(lead);
        assert_eq!(registry.encode().unwrap(), alone, "nothing stale is left");
    }
}
