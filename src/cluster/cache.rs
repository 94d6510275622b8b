//! One watch for each kind, shared by everybody in the process: a local copy that is always readable, and a
//! stream of what changed.
//!
//! Guarantees: a change is announced only after the copy holds it, so whoever hears of it sees it. What this
//! process wrote is in the copy at once ([`Cache::remember`]), so that nobody acts twice because the watch is a
//! few milliseconds behind. A listener that falls behind, and everybody after a watch had to start over, is told [`Change::All`]: nobody depends on
//! hearing each event. An object that does not parse is left out and logged; it stops nobody else.

use std::{
    collections::HashMap,
    fmt::Debug,
    hash::Hash,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;
use tracing::warn;

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
    K: Resource + Clone + 'static,
    K::DynamicType: Hash + Eq,
{
    store: Store<K>,
    written: Written<K>,
    changes: broadcast::Sender<Change<K>>,
}

/// What this process wrote and the watch has not brought back yet.
type Written<K> = Arc<Mutex<Notes<K>>>;

type Notes<K> = HashMap<ObjectRef<K>, (Instant, Arc<K>)>;

/// How long a write is trusted over the watch. The watch is milliseconds behind; should it have told of the
/// object's end before the write was noted, the note dies by itself.
const WRITTEN_MAX: Duration = Duration::from_secs(10);

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Starts to watch; returns once the copy is complete.
    pub async fn start(api: Api<DeserializeGuard<K>>, config: watcher::Config) -> Self {
        let (store, writer) = reflector::store();
        let (changes, _) = broadcast::channel(BACKLOG_MAX);
        let written = Written::default();
        tokio::spawn(keep(
            api,
            config,
            writer,
            Arc::clone(&written),
            changes.clone(),
        ));
        let cache = Self {
            store,
            written,
            changes,
        };
        // It fails only when the writer is dropped, and the task above holds that for ever.
        let _ = cache.store.wait_until_ready().await;
        cache
    }

    /// A cache that holds these objects and never hears of others, for the tests of whatever reads one.
    #[cfg(test)]
    pub(crate) fn holding(objects: impl IntoIterator<Item = K>) -> Self {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&watcher::Event::Init);
        for object in objects {
            writer.apply_watcher_event(&watcher::Event::InitApply(object));
        }
        writer.apply_watcher_event(&watcher::Event::InitDone);
        Self {
            store,
            written: Written::default(),
            changes: broadcast::channel(BACKLOG_MAX).0,
        }
    }

    /// The object, if it is there.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        let reference = match namespace {
            Some(namespace) => ObjectRef::new(name).within(namespace),
            None => ObjectRef::new(name),
        };
        self.newest(&reference, self.store.get(&reference))
    }

    /// The newest form of an object that was read from the copy a while ago.
    pub fn freshest(&self, object: Arc<K>) -> Arc<K> {
        let reference = ObjectRef::from_obj(&*object);
        self.newest(&reference, Some(Arc::clone(&object)))
            .unwrap_or(object)
    }

    /// Takes note of an object as a write of this process left it.
    pub fn remember(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        let reference = ObjectRef::from_obj(&object);
        locked(&self.written).insert(reference, (Instant::now(), Arc::new(object)));
    }

    fn newest(&self, reference: &ObjectRef<K>, stored: Option<Arc<K>>) -> Option<Arc<K>> {
        let written = locked(&self.written).get(reference).cloned();
        let written = written
            .filter(|(at, _)| at.elapsed() < WRITTEN_MAX)
            .map(|(_, object)| object);
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

/// Follows the watch for as long as the process lives.
async fn keep<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    mut writer: reflector::store::Writer<K>,
    written: Written<K>,
    changes: broadcast::Sender<Change<K>>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let kind = K::kind(&());
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                warn!(kind = %kind, %error, "the watch broke off; it will be taken up again");
                continue;
            }
        };
        let Some(event) = parsed(event) else { continue };
        writer.apply_watcher_event(&event);
        forget(&written, &event);
        // Nobody listening is fine: the copy is what counts.
        let _ = match event {
            watcher::Event::Apply(object) | watcher::Event::Delete(object) => {
                changes.send(Change::One(Arc::new(object)))
            }
            watcher::Event::InitDone => changes.send(Change::All),
            watcher::Event::Init | watcher::Event::InitApply(_) => continue,
        };
    }
}

/// What the watch has brought back, or started over without, need not be remembered.
fn forget<K>(written: &Written<K>, event: &watcher::Event<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut written = locked(written);
    match event {
        watcher::Event::Apply(object) => {
            let reference = ObjectRef::from_obj(object);
            if written
                .get(&reference)
                .is_some_and(|(_, ours)| version(&**ours) <= version(object))
            {
                written.remove(&reference);
            }
        }
        watcher::Event::Delete(object) => {
            written.remove(&ObjectRef::from_obj(object));
        }
        watcher::Event::InitDone => written.clear(),
        watcher::Event::Init | watcher::Event::InitApply(_) => {}
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

/// A panic while the map was held cannot have left it half changed: each use is one call.
fn locked<K>(written: &Written<K>) -> MutexGuard<'_, Notes<K>>
where
    K: Resource<DynamicType = ()> + 'static,
{
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The event without what costs memory and serves nobody; `None` for an object that does not parse.
fn parsed<K: Resource<DynamicType = ()>>(
    event: watcher::Event<DeserializeGuard<K>>,
) -> Option<watcher::Event<K>> {
    let unwrap = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(mut object) => {
            object.meta_mut().managed_fields = None;
            Some(object)
        }
        Err(invalid) => {
            let name = invalid.metadata.name.unwrap_or_default();
            let namespace = invalid.metadata.namespace.unwrap_or_default();
            warn!(kind = %K::kind(&()), namespace, name, error = invalid.error, "an object does not parse and is left alone");
            None
        }
    };
    Some(match event {
        watcher::Event::Apply(guard) => watcher::Event::Apply(unwrap(guard)?),
        watcher::Event::Delete(guard) => watcher::Event::Delete(unwrap(guard)?),
        watcher::Event::InitApply(guard) => watcher::Event::InitApply(unwrap(guard)?),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    })
}

#[cfg(test)]
mod tests;
