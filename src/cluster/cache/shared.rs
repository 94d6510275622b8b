//! What a cache knows beside its copy: what was written here, what could not be read, and whether the watch works.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use kube::{Resource, runtime::reflector::ObjectRef};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::version;

/// How long a write is trusted over the watch. The watch is milliseconds behind; should it have told of the
/// object's end before the write was noted, the note dies by itself.
const WRITTEN_MAX: Duration = Duration::from_secs(10);

/// What the keeper of a cache and its readers share.
pub(in crate::cluster) struct Shared<K>
where
    K: Resource<DynamicType = ()> + 'static,
{
    written: Mutex<Written<K>>,
    unreadable: Mutex<HashSet<ObjectRef<K>>>,
    pulse: Mutex<Pulse>,
    count: OnceLock<Gauge>,
}

/// What this process wrote and the watch has not brought back yet.
struct Written<K>
where
    K: Resource<DynamicType = ()> + 'static,
{
    notes: HashMap<ObjectRef<K>, (Instant, Arc<K>)>,
    /// When notes that had died were last thrown away.
    swept: Instant,
}

struct Pulse {
    heard: Instant,
    broke: Option<Instant>,
}

impl<K> Default for Shared<K>
where
    K: Resource<DynamicType = ()> + 'static,
{
    fn default() -> Self {
        let now = Instant::now();
        Self {
            written: Mutex::new(Written {
                notes: HashMap::new(),
                swept: now,
            }),
            unreadable: Mutex::default(),
            pulse: Mutex::new(Pulse {
                heard: now,
                broke: None,
            }),
            count: OnceLock::new(),
        }
    }
}

impl<K> Shared<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    pub(super) fn remember(&self, object: K) {
        let now = Instant::now();
        let mut written = locked(&self.written);
        if now.duration_since(written.swept) >= WRITTEN_MAX {
            let alive = |at: Instant| now.duration_since(at) < WRITTEN_MAX;
            written.notes.retain(|_, (at, _)| alive(*at));
            written.swept = now;
        }
        let reference = ObjectRef::from_obj(&object);
        written.notes.insert(reference, (now, Arc::new(object)));
    }

    pub(super) fn written(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        let written = locked(&self.written);
        let (at, object) = written.notes.get(reference)?;
        (at.elapsed() < WRITTEN_MAX).then(|| Arc::clone(object))
    }

    /// What the watch has brought back need not be remembered.
    pub(super) fn forget(&self, reference: &ObjectRef<K>, seen: u64) {
        let mut written = locked(&self.written);
        let outdated = written.notes.get(reference);
        if outdated.is_some_and(|(_, ours)| version(&**ours) <= seen) {
            written.notes.remove(reference);
        }
    }

    /// How many writes are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        locked(&self.written).notes.len()
    }

    /// Everything was listed anew, and this could not be read.
    pub(super) fn listed(&self, unreadable: HashSet<ObjectRef<K>>) {
        locked(&self.written).notes.clear();
        *locked(&self.unreadable) = unreadable;
        self.count();
    }

    /// Notes that the object cannot be read; whether that is news.
    pub(super) fn unreadable(&self, reference: ObjectRef<K>) -> bool {
        let news = locked(&self.unreadable).insert(reference);
        self.count();
        news
    }

    /// Notes that the object can be read, or is gone.
    pub(super) fn readable(&self, reference: &ObjectRef<K>) {
        if locked(&self.unreadable).remove(reference) {
            self.count();
        }
    }

    pub(in crate::cluster) fn is_unreadable(&self, reference: &ObjectRef<K>) -> bool {
        locked(&self.unreadable).contains(reference)
    }

    pub(super) fn all_unreadable(&self) -> Vec<ObjectRef<K>> {
        locked(&self.unreadable).iter().cloned().collect()
    }

    pub(super) fn measure(&self, gauge: Gauge) {
        // Told twice, the first stays: it is the same.
        let _ = self.count.set(gauge);
        self.count();
    }

    fn count(&self) {
        if let Some(gauge) = self.count.get() {
            let count = locked(&self.unreadable).len();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn heard(&self) {
        *locked(&self.pulse) = Pulse {
            heard: Instant::now(),
            broke: None,
        };
    }

    pub(super) fn broke(&self) {
        locked(&self.pulse).broke.get_or_insert_with(Instant::now);
    }

    pub(super) fn deaf_for(&self) -> Option<Duration> {
        locked(&self.pulse).broke.map(|broke| broke.elapsed())
    }

    pub(super) fn quiet_for(&self) -> Duration {
        locked(&self.pulse).heard.elapsed()
    }
}

/// A panic while something was held cannot have left it half changed: each use is one call.
fn locked<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
