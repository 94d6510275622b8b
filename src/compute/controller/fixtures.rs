//! A context whose caches hold what a test puts there, and whose API server answers as the test says. Must never be
//! part of a build that runs.

use std::sync::Arc;

use crate::{
    api::{
        flavor::Flavor, guest::Guest, hypervisor::Hypervisor, image::Image, port::Port,
        server::Server,
    },
    cluster::{Cache, Writer, metrics, mock::MockServer, reporter::Reporter},
    compute::{
        metrics::{SchedulerMetrics, ServerMetrics},
        plan::hypervisor::PodAccounts,
        scheduler::Scheduler,
    },
};

use super::{Caches, Context, MANAGER, heartbeat::Heartbeats, ports::Ports};

/// What the caches hold.
#[derive(Default)]
pub struct Cluster {
    pub flavors: Vec<Flavor>,
    pub images: Vec<Image>,
    pub servers: Vec<Server>,
    pub ports: Vec<Port>,
    pub guests: Vec<Guest>,
    pub hypervisors: Vec<Hypervisor>,
}

impl Cluster {
    /// The context of a controller that knows this. Needs a runtime.
    pub fn context(self, api: &MockServer) -> Arc<Context> {
        let caches = Caches {
            flavors: Arc::new(Cache::holding(self.flavors)),
            images: Arc::new(Cache::holding(self.images)),
            key_pairs: Arc::new(Cache::holding([])),
            servers: Arc::new(Cache::holding(self.servers)),
            ports: Arc::new(Cache::holding(self.ports)),
            actions: Arc::new(Cache::holding([])),
            guests: Arc::new(Cache::holding(self.guests)),
            hypervisors: Arc::new(Cache::holding(self.hypervisors)),
            nodes: Arc::new(Cache::holding([])),
            leases: Arc::new(Cache::holding([])),
        };
        let scheduler = Scheduler::new(SchedulerMetrics::new(&mut metrics::registry()));
        scheduler.rebuild(&caches.hypervisors, &caches.servers);
        let ports = Ports::default();
        ports.rebuild(&caches.ports);
        Arc::new(Context {
            caches,
            writer: Writer::new(api.client(), MANAGER),
            reporter: Reporter::new(api.client(), MANAGER, "test".to_owned()),
            scheduler: Arc::new(scheduler),
            ports,
            heartbeats: Heartbeats::default(),
            pod_accounts: PodAccounts::default(),
            metrics: ServerMetrics::new(&mut metrics::registry()),
        })
    }
}
