//! What Prometheus is told of scheduling.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// How a decision ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Decided {
    /// `placed` or `refused`.
    pub outcome: &'static str,
}

/// Which filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
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
    /// Servers that wait for room.
    pub waiting: Gauge,
}

impl SchedulerMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            // From 1 µs to 1 s.
            latency: Histogram::new(exponential_buckets(0.000_001, 4.0, 11)),
            decisions: Family::default(),
            refusals: Family::default(),
            waiting: Gauge::default(),
        };
        registry.register(
            "scheduler_decision_seconds",
            "Time that one placement took",
            metrics.latency.clone(),
        );
        registry.register(
            "scheduler_decisions",
            "Placements, by how they ended",
            metrics.decisions.clone(),
        );
        registry.register(
            "scheduler_refused_hypervisors",
            "Hypervisors that a placement refused, by filter",
            metrics.refusals.clone(),
        );
        registry.register(
            "scheduler_waiting_servers",
            "Servers that wait for room",
            metrics.waiting.clone(),
        );
        metrics
    }
}
