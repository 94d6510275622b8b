//! What Prometheus is told. Families are made here once; labels come from closed enums, from the names of kinds and of
//! hypervisors, and never from users.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};

mod registry;
mod requests;

pub use registry::{Description, Registry, Told};
pub use requests::{Counted, RequestMetrics};

/// From 1 ms to 16 s: below is noise of the network, above is a fault whatever its length.
#[derive(Clone)]
pub struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.001, 2.0, 15))
    }
}

/// A family of latencies, in seconds.
pub type Latencies<L> = Family<L, Histogram, Latency>;

/// Which controller, and how it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// The controller's name.
    pub controller: &'static str,
    /// `ok`, `conflict`, `retry`, `refused`, `ending` or `panic`.
    pub outcome: &'static str,
}

/// Which controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Of {
    /// The controller's name.
    pub controller: &'static str,
}

/// What every controller counts.
#[derive(Clone)]
pub struct ControllerMetrics {
    /// How long a run took.
    pub duration: Latencies<Of>,
    /// How many runs ended how.
    pub outcomes: Family<Outcome, Counter>,
}

impl ControllerMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            duration: Family::new_with_constructor(Latency),
            outcomes: Family::default(),
        };
        registry.register(
            "reconcile_duration_seconds",
            "Time that one run of a controller took",
            &metrics.duration,
        );
        registry.register(
            "reconcile",
            "Runs of a controller, by how they ended",
            &metrics.outcomes,
        );
        metrics
    }

    /// Counts from 0 what has not happened to this controller yet: the first time would be no increase otherwise.
    pub fn begin(&self, controller: &'static str) {
        for outcome in ["ok", "conflict", "retry", "refused", "ending", "panic"] {
            drop(self.outcomes.get_or_create(&Outcome {
                controller,
                outcome,
            }));
        }
    }
}

/// Which kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// Its name; there are as many as this program watches.
    pub kind: String,
}

/// What every cache counts.
#[derive(Clone)]
pub struct CacheMetrics {
    /// Objects that this program does not understand.
    pub unreadable: Family<Kind, Gauge>,
}

impl CacheMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let unreadable = Family::default();
        registry.register(
            "unreadable_objects",
            "Objects that this program does not understand and leaves alone; not 0 means: upgrade it",
            &unreadable,
        );
        Self { unreadable }
    }
}

/// A registry in which every name begins with `kilonova_`, and which says which version runs.
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("kilonova");
    let build = Family::<Build, Gauge>::default();
    build
        .get_or_create(&Build {
            version: env!("CARGO_PKG_VERSION"),
            // Told by whoever builds a release; a build of a work tree is of no commit.
            commit: option_env!("KILONOVA_COMMIT").unwrap_or("unknown"),
        })
        .set(1);
    registry.register(
        "build_info",
        "The version that runs and the commit that it was built from; always 1",
        &build,
    );
    registry
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
    commit: &'static str,
}
