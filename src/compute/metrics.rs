//! What Prometheus is told of servers and hypervisors, and of scheduling.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
};

use crate::cluster::metrics::Registry;

mod cloud;

pub use cloud::{CloudMetrics, Standing};

/// How a decision ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Decided {
    /// `placed` or `refused`.
    pub outcome: &'static str,
}

/// Which filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct By {
    /// The filter's name.
    pub filter: &'static str,
}

/// What the scheduler counts.
#[derive(Clone)]
pub struct SchedulerMetrics {
    /// How long one decision took.
    pub latency: Histogram,
    /// Decisions, by how they ended.
    pub decisions: Family<Decided, Counter>,
    /// Hypervisors refused, by filter.
    pub refusals: Family<By, Counter>,
}

impl SchedulerMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            // From 1 µs to 1 s.
            latency: Histogram::new(exponential_buckets(0.000_001, 4.0, 11)),
            decisions: Family::default(),
            refusals: Family::default(),
        };
        registry.register(
            "scheduler_decision_seconds",
            "Time that one placement took",
            &metrics.latency,
        );
        registry.register(
            "scheduler_decisions",
            "Placements, by how they ended",
            &metrics.decisions,
        );
        for outcome in ["placed", "refused"] {
            drop(metrics.decisions.get_or_create(&Decided { outcome }));
        }
        registry.register(
            "scheduler_refused_hypervisors",
            "Hypervisors that a placement refused, by filter",
            &metrics.refusals,
        );
        metrics
    }
}

/// What is counted of servers.
#[derive(Clone)]
pub struct ServerMetrics {
    build: Histogram,
}

impl ServerMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            // From 1 s to an hour.
            build: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
        };
        registry.register(
            "server_build_duration_seconds",
            "Time from the making of a server until its guest ran for the first time, by the clocks of the API server \
             and of the node; of servers whose spec was not changed in between",
            &metrics.build,
        );
        metrics
    }

    /// A server was made, and runs for the first time.
    pub fn built(&self, took: Duration) {
        self.build.observe(took.as_secs_f64());
    }
}
