//! When each node was last heard of, by this process's own clock: the time in a heartbeat is the node's, and two
//! clocks are never compared.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use tokio::time::Instant;

/// When each node was last heard of.
#[derive(Default)]
pub struct Heartbeats(Mutex<HashMap<String, Beat>>);

struct Beat {
    renewed: Option<MicroTime>,
    seen: Instant,
}

/// Whether a heartbeat ends a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The node had not been heard of, or not for long.
    Awake,
    /// The node goes on as it did.
    Nothing,
}

impl Heartbeats {
    /// Takes note of a heartbeat as it is now. Only a change of it is a sign of life: a heartbeat that was there
    /// when this process started may be old, so it counts from now.
    pub fn note(&self, lease: &Lease, silence_max: Duration) -> News {
        let Some(node) = lease.metadata.name.clone() else {
            return News::Nothing;
        };
        let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = beats.get(&node);
        if before.is_some_and(|beat| beat.renewed == renewed) {
            return News::Nothing;
        }
        let awake = before.is_none_or(|beat| beat.seen.elapsed() >= silence_max);
        beats.insert(
            node,
            Beat {
                renewed,
                seen: Instant::now(),
            },
        );
        if awake { News::Awake } else { News::Nothing }
    }

    /// How long the node has been silent; absent when it never was heard of.
    pub fn silence(&self, node: &str) -> Option<Duration> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.get(node).map(|beat| beat.seen.elapsed())
    }
}
