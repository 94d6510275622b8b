//! What Prometheus is told of networks.

use prometheus_client::metrics::{
    gauge::Gauge,
    histogram::{Histogram, exponential_buckets},
};

use crate::cluster::metrics::Registry;

mod northbound;

pub use northbound::NorthboundMetrics;

/// What is counted.
#[derive(Clone)]
pub struct NetworkMetrics {
    /// How long it took to look at the whole cloud once.
    pub survey: Histogram,
    /// How many objects wait for an address.
    pub waiting: Gauge,
}

impl NetworkMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            // From 100 µs to 26 s.
            survey: Histogram::new(exponential_buckets(0.000_1, 4.0, 10)),
            waiting: Gauge::default(),
        };
        registry.register(
            "network_survey_seconds",
            "Time to look at all networks, subnets, ports, routers, groups, floating IPs and load balancers once",
            &metrics.survey,
        );
        registry.register(
            "network_waiting_objects",
            "Objects that wait for a free address; of a leader",
            &metrics.waiting,
        );
        metrics
    }
}
