//! What Prometheus is told of a node's guests.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::cluster::metrics::{Latencies, Latency};

use super::driver::{Failure, Observer, Operation, Outcome};

/// Which call, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Call {
    /// The verb.
    pub operation: &'static str,
    /// `done`, `retry`, `give_up` or `unreachable`.
    pub outcome: &'static str,
}

/// What the agent counts.
#[derive(Clone, Default)]
pub struct NodeMetrics {
    /// Starts of guests that had ended by themselves.
    pub restarts: Counter,
    /// Guests of this node.
    pub guests: Gauge,
    /// Domains with our mark that nobody wants.
    pub orphans: Gauge,
}

impl NodeMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "guest_restarts",
            "Starts of guests that had ended by themselves",
            metrics.restarts.clone(),
        );
        registry.register("guests", "Guests of this node", metrics.guests.clone());
        registry.register(
            "orphaned_domains",
            "Domains with Kilonova's mark that no guest stands for",
            metrics.orphans.clone(),
        );
        metrics
    }
}

/// Counts every call to the hypervisor, with how long it took.
pub fn observer(registry: &mut Registry) -> Observer {
    let latencies: Latencies<Call> = Family::new_with_constructor(Latency);
    registry.register(
        "libvirt_call_seconds",
        "Time that one call to libvirt took",
        latencies.clone(),
    );
    Arc::new(
        move |operation: Operation, took: Duration, outcome: Outcome| {
            let call = Call {
                operation: operation.as_str(),
                outcome: word(outcome),
            };
            latencies.get_or_create(&call).observe(took.as_secs_f64());
        },
    )
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed(Failure::Retry) => "retry",
        Outcome::Failed(Failure::GiveUp) => "give_up",
        Outcome::Failed(Failure::Unreachable) => "unreachable",
    }
}
