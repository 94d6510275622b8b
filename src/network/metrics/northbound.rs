//! What Prometheus is told of the northbound database.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
};

use crate::cluster::metrics::{Latency, Registry};

/// How a transaction ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// `done`, `overtaken` (somebody else changed a row meanwhile), `refused` (a row is not to the database's liking) or
    /// `failed` (there was no answer, or the database writes nothing at all).
    pub outcome: &'static str,
}

/// How an object stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Stands {
    /// `pending`, `written` or `failed`.
    pub state: &'static str,
}

/// What is counted of the northbound database.
#[derive(Clone)]
pub struct NorthboundMetrics {
    transactions: Family<Ended, Counter>,
    duration: Histogram,
    rows: Counter,
    wanted: Gauge,
    ready: Gauge,
    objects: Family<Stands, Gauge>,
    age: Gauge,
}

impl NorthboundMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            transactions: Family::default(),
            duration: Latency.new_metric(),
            rows: Counter::default(),
            wanted: Gauge::default(),
            ready: Gauge::default(),
            objects: Family::default(),
            age: Gauge::default(),
        };
        registry.register(
            "northbound_transactions",
            "Transactions with OVN's northbound database, by how they ended; refused: a row is not to its liking; \
             overtaken: somebody else changed a row meanwhile",
            &metrics.transactions,
        );
        for outcome in ["done", "overtaken", "refused", "failed"] {
            drop(metrics.transactions.get_or_create(&Ended { outcome }));
        }
        registry.register(
            "northbound_transaction_seconds",
            "Time that one transaction with OVN's northbound database took",
            &metrics.duration,
        );
        registry.register(
            "northbound_rows_written",
            "Rows of OVN's northbound database that were inserted, changed or deleted",
            &metrics.rows,
        );
        registry.register(
            "northbound_session_wanted",
            "1 while this operator leads and is told of an OVN northbound database, whether that can be written or not",
            &metrics.wanted,
        );
        registry.register(
            "northbound_session_ready",
            "1 while this operator can write OVN's northbound database; only the operator that leads tries to",
            &metrics.ready,
        );
        registry.register(
            "northbound_objects",
            "Objects with rows in OVN's northbound database, by how they stand",
            &metrics.objects,
        );
        registry.register(
            "northbound_oldest_change_seconds",
            "How long OVN's northbound database has not been as it should be; 0 while it is",
            &metrics.age,
        );
        metrics
    }

    /// A transaction has ended.
    pub fn transacted(&self, outcome: &'static str, took: Duration) {
        self.transactions.get_or_create(&Ended { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Rows were written.
    pub fn wrote(&self, rows: usize) {
        self.rows.inc_by(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    /// There is a database to be written.
    pub fn entered(&self) {
        self.wanted.set(1);
    }

    /// Whether the session can be used.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Nobody writes any more, and so nobody knows how objects stand.
    pub fn left(&self) {
        self.wanted.set(0);
        self.ready(false);
        self.age(Duration::ZERO);
        self.objects.clear();
    }

    /// How many objects stand how.
    pub fn stand(&self, state: &'static str, count: usize) {
        let gauge = self.objects.get_or_create(&Stands { state });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// For how long something has been to do.
    pub fn age(&self, age: Duration) {
        self.age
            .set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }
}
