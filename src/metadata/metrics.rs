//! What Prometheus is told of the service.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use crate::cluster::metrics::Registry;

use super::plan::answer::Outcome;

/// How a request went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Went {
    /// The word of an [`Outcome`].
    pub outcome: &'static str,
}

/// What the service counts.
#[derive(Clone, Debug, Default)]
pub struct MetadataMetrics {
    requests: Family<Went, Counter>,
    /// Networks that are served.
    pub networks: Gauge,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were closed at once, since their guest had too many.
    pub surplus: Counter,
}

impl MetadataMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "metadata_requests",
            "Requests of guests to the metadata service, by how they went; unknown: nobody of this node has the address; \
             unavailable: the guest's seed cannot be read",
            &metrics.requests,
        );
        for outcome in Outcome::ALL {
            drop(metrics.family(outcome));
        }
        registry.register(
            "metadata_networks",
            "Networks on which this node serves metadata",
            &metrics.networks,
        );
        registry.register(
            "metadata_connections",
            "Connections of guests to the metadata service that are open",
            &metrics.connections,
        );
        registry.register(
            "metadata_surplus_connections",
            "Connections that were closed at once, since their guest had too many",
            &metrics.surplus,
        );
        metrics
    }

    /// Counts a request.
    pub fn count(&self, outcome: Outcome) {
        self.family(outcome).inc();
    }

    fn family(&self, outcome: Outcome) -> impl std::ops::Deref<Target = Counter> + '_ {
        let outcome = outcome.as_str();
        self.requests.get_or_create(&Went { outcome })
    }
}
