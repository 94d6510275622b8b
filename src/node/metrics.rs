//! What Prometheus is told of a node's guests.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use crate::{
    api::{
        image::{CacheState, CachedImage},
        value::Size,
    },
    cluster::metrics::{Latencies, Latency, Registry},
};

use super::driver::{Failure, Observer, Operation, Outcome};

/// Which call, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
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
    /// Size of the file system that holds disks and images.
    pub disk_size: Gauge,
    /// What is free of it.
    pub disk_free: Gauge,
    /// Ports of ended guests that were removed from the switch.
    pub leftovers: Counter,
    /// Ports of guests that may not play router, and could.
    pub unguarded: Gauge,
}

impl NodeMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "guest_restarts",
            "Starts of guests that had ended by themselves",
            &metrics.restarts,
        );
        registry.register("guests", "Guests of this node", &metrics.guests);
        registry.register(
            "orphaned_domains",
            "Domains with Kilonova's mark that no guest stands for",
            &metrics.orphans,
        );
        registry.register(
            "node_disk_size_bytes",
            "Size of the file system that holds disks and images",
            &metrics.disk_size,
        );
        registry.register(
            "node_disk_free_bytes",
            "What is free of the file system that holds disks and images; at 0, guests that write stand still",
            &metrics.disk_free,
        );
        registry.register(
            "leftover_ports",
            "Ports of the node's switch that were left of guests which ended with the host's power, and were removed",
            &metrics.leftovers,
        );
        registry.register(
            "unguarded_ports",
            "Ports in the node's switch whose guests could play router, although their ports have port security",
            &metrics.unguarded,
        );
        metrics
    }
}

/// How a download ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// `done`, `failed` (it may pass) or `refused` (the content is wrong).
    pub outcome: &'static str,
}

/// How an image stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Standing {
    /// `downloading`, `ready`, `failed` or `refused`.
    pub state: &'static str,
}

/// What is counted of the image cache.
#[derive(Clone, Debug, Default)]
pub struct ImageMetrics {
    /// Downloads that ended.
    pub downloads: Family<Ended, Counter>,
    /// Bytes that have arrived.
    pub downloaded: Counter,
    images: Family<Standing, Gauge>,
    size: Gauge,
}

impl ImageMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "image_downloads",
            "Downloads of images, by how they ended; failed: it may pass; refused: the content is wrong",
            &metrics.downloads,
        );
        for outcome in ["done", "failed", "refused"] {
            drop(metrics.downloads.get_or_create(&Ended { outcome }));
        }
        registry.register(
            "image_download_bytes",
            "Bytes of images that have arrived, wanted or not",
            &metrics.downloaded,
        );
        registry.register(
            "image_cache_images",
            "Images, by how they stand",
            &metrics.images,
        );
        registry.register(
            "image_cache_bytes",
            "What the images on this node take",
            &metrics.size,
        );
        metrics
    }

    /// Takes note of all images that the cache has something to say of.
    pub fn see(&self, images: &[CachedImage]) {
        for state in [
            CacheState::Downloading,
            CacheState::Ready,
            CacheState::Failed,
            CacheState::Refused,
        ] {
            let count = images.iter().filter(|image| image.state == state).count();
            let state = state_word(state);
            let gauge = self.images.get_or_create(&Standing { state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let sizes = images.iter().filter_map(|image| image.size);
        let size = sizes.map(Size::as_bytes).sum::<u64>();
        self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
    }
}

fn state_word(state: CacheState) -> &'static str {
    match state {
        CacheState::Downloading => "downloading",
        CacheState::Ready => "ready",
        CacheState::Failed => "failed",
        CacheState::Refused => "refused",
    }
}

/// Counts every call to the hypervisor, with how long it took.
pub fn observer(registry: &mut Registry) -> Observer {
    let latencies: Latencies<Call> = Family::new_with_constructor(Latency);
    registry.register(
        "libvirt_call_seconds",
        "Time that one call to libvirt took",
        &latencies,
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
