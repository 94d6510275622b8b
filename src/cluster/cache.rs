//! One watch for each kind, shared by everybody in the process: a local copy that is always readable, and a
//! stream of what changed.
//!
//! Guarantees: a change is announced only after the copy holds it, so whoever hears of it sees it. What this
//! process wrote is in the copy at once ([`Cache::remember`]), so that nobody acts twice because the watch is a
//! few milliseconds behind. A listener that falls behind, and everybody after a watch had to start over, is told
//! [`Change::All`]: nobody depends on hearing each event. An object that does not parse stays in the copy as it was
//! when it last did, is named by [`Cache::unreadable`], and stops nobody else.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{Stream, stream};
use kube::{
    Api, Resource,
    core::DeserializeGuard,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

use super::metrics::{CacheMetrics, Kind};

mod keeper;
mod shared;

use keeper::Keeper;
use shared::Shared;

/// How many changes a listener may be behind before it is told [`Change::All`] instead. A change is a pointer.
const BACKLOG_MAX: usize = 4096;

/// Something changed.
#[derive(Debug)]
pub enum Change<K> {
    /// This object appeared, changed or vanished.
    One(Arc<K>),
    /// Anything may have changed.
    All,
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Self::One(object) => Self::One(Arc::clone(object)),
            Self::All => Self::All,
        }
    }
}

/// A kind as this process sees it.
pub struct Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store: Store<K>,
    shared: Arc<Shared<K>>,
    changes: broadcast::Sender<Change<K>>,
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Starts to watch; returns once the copy is complete.
    pub async fn start(api: Api<DeserializeGuard<K>>, config: watcher::Config) -> Self {
        let (cache, keeper) = Self::unwatched();
        tokio::spawn(keeper.keep(api, config));
        // It fails only when the keeper is dropped, and the task holds that for ever.
        let _ = cache.store.wait_until_ready().await;
        cache
    }

    /// An empty cache, and who is to fill it.
    fn unwatched() -> (Self, Keeper<K>) {
        let (changes, _) = broadcast::channel(BACKLOG_MAX);
        let shared = Arc::new(Shared::default());
        let keeper = Keeper::new(Arc::clone(&shared), changes.clone());
        let cache = Self {
            store: keeper.store(),
            shared,
            changes,
        };
        (cache, keeper)
    }

    /// A cache that holds these objects and never hears of others, for the tests of whatever reads one.
    #[cfg(test)]
    pub(crate) fn holding(objects: impl IntoIterator<Item = K>) -> Self {
        let (cache, mut keeper) = Self::unwatched();
        keeper.hear(watcher::Event::Init);
        for object in objects {
            keeper.hear(watcher::Event::InitApply(DeserializeGuard(Ok(object))));
        }
        keeper.hear(watcher::Event::InitDone);
        cache
    }

    /// As if the cluster had this object in a form that this process does not understand, for tests.
    #[cfg(test)]
    pub(crate) fn misread(&self, object: &K) {
        self.shared.unreadable(ObjectRef::from_obj(object));
    }

    /// The object, if it is there.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        let reference = match namespace {
            Some(namespace) => ObjectRef::new(name).within(namespace),
            None => ObjectRef::new(name),
        };
        self.newest(&reference, self.store.get(&reference))
    }

    /// The newest form of an object that was read from the copy a while ago: by now the copy may hold a newer one, or
    /// this process may have written one.
    pub fn freshest(&self, object: Arc<K>) -> Arc<K> {
        let reference = ObjectRef::from_obj(&*object);
        let stored = self.store.get(&reference);
        let newer = stored.filter(|stored| version(&**stored) > version(&*object));
        let known = newer.unwrap_or(object);
        self.newest(&reference, Some(Arc::clone(&known)))
            .unwrap_or(known)
    }

    /// Takes note of an object as a write of this process left it.
    pub fn remember(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        self.shared.remember(object);
    }

    fn newest(&self, reference: &ObjectRef<K>, stored: Option<Arc<K>>) -> Option<Arc<K>> {
        let written = self.shared.written(reference);
        match (stored, written) {
            (Some(stored), Some(written)) if version(&*stored) >= version(&*written) => {
                Some(stored)
            }
            (stored, written) => written.or(stored),
        }
    }

    /// Every object, in no order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// The copy itself, for the controller that owns this kind.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// The objects, by namespace and name, that the cluster has and this process does not understand. What the copy
    /// holds of them, if anything, is what they were before.
    pub fn unreadable(&self) -> Vec<(Option<String>, String)> {
        let unreadable = self.shared.all_unreadable().into_iter();
        unreadable
            .map(|object| (object.namespace, object.name))
            .collect()
    }

    /// Who knows which objects are unreadable, for the controller that owns this kind.
    pub(super) fn shared(&self) -> Arc<Shared<K>> {
        Arc::clone(&self.shared)
    }

    /// For how long the watch has been broken; `None` while it works, as far as that can be told: see
    /// [`Self::quiet_for`].
    pub fn deaf_for(&self) -> Option<Duration> {
        self.shared.deaf_for()
    }

    /// How long ago the watch told of anything. A connection can die without a word: where something is due all the
    /// time, such as heartbeats, this shows it before the watch does, which takes a minute.
    pub fn quiet_for(&self) -> Duration {
        self.shared.quiet_for()
    }

    /// Counts from now on what is unreadable.
    pub fn measure(&self, metrics: &CacheMetrics) {
        let kind = K::kind(&()).into_owned();
        let gauge = metrics.unreadable.get_or_create_owned(&Kind { kind });
        self.shared.measure(gauge);
    }

    /// What changes from now on.
    pub fn changes(&self) -> impl Stream<Item = Change<K>> + Send + 'static {
        stream::unfold(self.changes.subscribe(), |mut receiver| async {
            match receiver.recv().await {
                Ok(change) => Some((change, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Change::All, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
    }
}

/// Resource versions grow (Kubernetes promises so since 1.35, and etcd's have always done); what has none is oldest.
fn version<K: Resource>(object: &K) -> u64 {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
