//! When each node was last heard of, by this process's own clock: the time in a heartbeat is the node's, and two
//! clocks are never compared.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use tokio::time::Instant;

use crate::{
    cluster::Change,
    compute::plan::hypervisor::{SILENCE_MAX, Voice, heartbeat_of},
};

/// When each node was last heard of.
#[derive(Default)]
pub struct Heartbeats(Mutex<State>);

#[derive(Default)]
struct State {
    beats: HashMap<String, Beat>,
    /// When nothing could be heard last, because of us and not of the nodes.
    deaf_at: Option<Instant>,
}

struct Beat {
    renewed: Option<MicroTime>,
    since: Instant,
    heard: bool,
}

impl Heartbeats {
    /// Takes note of heartbeats as they are now; the nodes that were not heard of before, or not for long.
    ///
    /// Only a change of a heartbeat is a sign of life. One that is there when all are read, at the start and after the
    /// watch broke off, may be old: until it changes it proves neither life nor silence, which counts from now.
    pub fn note(
        &self,
        change: Change<Lease>,
        all: impl Fn() -> Vec<Arc<Lease>>,
        now: Instant,
    ) -> Vec<String> {
        let (leases, afresh) = match change {
            Change::One(lease) => (vec![lease], false),
            Change::All => (all(), true),
        };
        let mut state = self.locked();
        let mut awake = Vec::new();
        for lease in leases {
            let Some(node) = heartbeat_of(&lease) else {
                continue;
            };
            let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
            let before = state.beats.get(node);
            let same = before.is_some_and(|beat| beat.renewed == renewed);
            if same && !afresh {
                continue;
            }
            let heard = !same && (before.is_some() || !afresh);
            let spoke = matches!(state.voice(node, now), Voice::Heard(past) if past < SILENCE_MAX);
            if heard && !spoke {
                awake.push(node.to_owned());
            }
            let beat = Beat {
                renewed,
                since: now,
                heard,
            };
            state.beats.insert(node.to_owned(), beat);
        }
        awake
    }

    /// Takes note that nothing can be heard now, because the API server cannot be: that is no silence of the nodes'.
    pub fn deafen(&self, now: Instant) {
        self.locked().deaf_at = Some(now);
    }

    /// What is heard of the node.
    pub fn voice(&self, node: &str, now: Instant) -> Voice {
        self.locked().voice(node, now)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn voice(&self, node: &str, now: Instant) -> Voice {
        let Some(beat) = self.beats.get(node) else {
            return Voice::Never;
        };
        let deaf_at = self.deaf_at.filter(|deaf_at| *deaf_at > beat.since);
        let since = now.saturating_duration_since(deaf_at.unwrap_or(beat.since));
        if beat.heard && deaf_at.is_none() {
            Voice::Heard(since)
        } else {
            Voice::Unconfirmed(since)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::api::node_namespace;

    fn lease(node: &str, namespace: &str, renewed: i64) -> Arc<Lease> {
        let mut lease = Lease::default();
        lease.metadata.name = Some(node.to_owned());
        lease.metadata.namespace = Some(namespace.to_owned());
        let renewed = Timestamp::from_second(renewed).unwrap();
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(renewed));
        Arc::new(lease)
    }

    fn of_n1(renewed: i64) -> Arc<Lease> {
        lease("n1", &node_namespace("n1"), renewed)
    }

    /// What is known, and the time.
    struct Listener {
        beats: Heartbeats,
        now: Instant,
    }

    impl Listener {
        fn new() -> Self {
            Self {
                beats: Heartbeats::default(),
                now: Instant::now(),
            }
        }

        /// The node says this.
        fn says(&self, lease: Arc<Lease>) -> Vec<String> {
            self.beats.note(Change::One(lease), Vec::new, self.now)
        }

        /// Everything is read again, and the node's heartbeat is this.
        fn reads(&self, lease: &Arc<Lease>) -> Vec<String> {
            self.beats
                .note(Change::All, || vec![Arc::clone(lease)], self.now)
        }

        fn voice(&self) -> Voice {
            self.beats.voice("n1", self.now)
        }
    }

    #[test]
    fn a_heartbeat_that_was_there_before_proves_nothing_until_it_changes() {
        let mut listener = Listener::new();
        assert_eq!(listener.voice(), Voice::Never);
        assert!(listener.reads(&of_n1(1)).is_empty());
        listener.now += Duration::from_secs(7);
        assert_eq!(listener.voice(), Voice::Unconfirmed(Duration::from_secs(7)));
        assert_eq!(listener.says(of_n1(2)), ["n1"]);
        assert_eq!(listener.voice(), Voice::Heard(Duration::ZERO));
    }

    #[test]
    fn a_new_node_is_heard_at_once_and_news_are_told_once() {
        let mut listener = Listener::new();
        assert_eq!(listener.says(of_n1(1)), ["n1"]);
        listener.now += Duration::from_secs(2);
        assert!(listener.says(of_n1(2)).is_empty());
        assert!(
            listener.says(of_n1(2)).is_empty(),
            "the same heartbeat again"
        );
        listener.now += SILENCE_MAX;
        assert_eq!(listener.voice(), Voice::Heard(SILENCE_MAX));
        assert_eq!(listener.says(of_n1(3)), ["n1"]);
    }

    /// The silence may have been ours.
    #[test]
    fn after_the_watch_broke_off_silence_counts_from_anew() {
        let mut listener = Listener::new();
        listener.says(of_n1(1));
        listener.now += SILENCE_MAX;
        listener.reads(&of_n1(1));
        assert_eq!(listener.voice(), Voice::Unconfirmed(Duration::ZERO));
        assert_eq!(listener.reads(&of_n1(2)), ["n1"], "it went on meanwhile");
    }

    /// Whoever may make leases somewhere else cannot speak for a node.
    #[test]
    fn a_heartbeat_counts_in_its_node_s_namespace_only() {
        let listener = Listener::new();
        for namespace in ["shop", "kilonova-node-n2"] {
            let foreign = lease("n1", namespace, 1);
            assert!(listener.says(foreign).is_empty());
        }
        assert_eq!(listener.voice(), Voice::Never);
    }

    /// The API server was away: nobody says that the nodes were, and once it is back they have their time to speak.
    #[test]
    fn what_could_not_be_heard_is_no_silence() {
        let mut listener = Listener::new();
        listener.says(of_n1(1));
        listener.now += SILENCE_MAX;
        listener.beats.deafen(listener.now);
        assert_eq!(listener.voice(), Voice::Unconfirmed(Duration::ZERO));
        listener.now += SILENCE_MAX;
        assert_eq!(listener.voice(), Voice::Unconfirmed(SILENCE_MAX));
        assert_eq!(listener.says(of_n1(2)), ["n1"]);
        assert_eq!(listener.voice(), Voice::Heard(Duration::ZERO));
    }
}
