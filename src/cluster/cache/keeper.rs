//! Keeps one copy in step with the watch. Must never do anything else.

use std::{collections::HashSet, fmt::Debug, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::broadcast, time};
use tracing::{error, warn};

use super::{Change, Shared, version};
use crate::cluster::telemetry;

/// How long the API server lets one watch last, in seconds. One that is silent for longer is dead and taken up anew,
/// so this is how long a connection that died without a word goes unnoticed.
const WATCH_S_MAX: u32 = 60;

/// Should kube's pauses ever end, which they do not.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// One kind's watch, and what it feeds.
pub(super) struct Keeper<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    writer: reflector::store::Writer<K>,
    store: Store<K>,
    shared: Arc<Shared<K>>,
    changes: broadcast::Sender<Change<K>>,
    /// What could not be read since the watch began to list everything.
    listing: HashSet<ObjectRef<K>>,
}

impl<K> Keeper<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) fn new(shared: Arc<Shared<K>>, changes: broadcast::Sender<Change<K>>) -> Self {
        let (store, writer) = reflector::store();
        Self {
            writer,
            store,
            shared,
            changes,
            listing: HashSet::new(),
        }
    }

    /// The copy.
    pub(super) fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Follows the watch for as long as the process lives.
    pub(super) async fn keep(mut self, api: Api<DeserializeGuard<K>>, mut config: watcher::Config) {
        config.timeout.get_or_insert(WATCH_S_MAX);
        let mut pauses = watcher::DefaultBackoff::default();
        loop {
            let mut events = pin!(watcher(api.clone(), config.clone()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if self.hear(event) {
                            self.shared.heard();
                        }
                    }
                    Err(error) => {
                        self.shared.broke();
                        tell::<K>(&error);
                        break;
                    }
                }
            }
            // After a failure everything is listed anew: a watch that is only taken up says nothing until something
            // changes, and nobody could tell whether it works.
            time::sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
        }
    }

    /// Takes note of an event; whether it shows that the API server answers.
    pub(super) fn hear(&mut self, event: watcher::Event<DeserializeGuard<K>>) -> bool {
        use watcher::Event;
        match event {
            Event::Apply(DeserializeGuard(Ok(object))) => {
                let object = slim(object);
                self.shared.readable(&ObjectRef::from_obj(&object));
                self.changed(&Event::Apply(object));
            }
            Event::Apply(DeserializeGuard(Err(invalid))) => {
                let reference = reference(&invalid);
                if self.shared.unreadable(reference.clone()) {
                    complain(&reference, &invalid);
                }
            }
            Event::Delete(DeserializeGuard(object)) => {
                let reference = match &object {
                    Ok(object) => ObjectRef::from_obj(object),
                    Err(invalid) => reference(invalid),
                };
                self.shared.readable(&reference);
                let known = || self.store.get(&reference).map(|known| (*known).clone());
                // One that was never understood was never announced either.
                if let Some(object) = object.ok().map(slim).or_else(known) {
                    self.changed(&Event::Delete(object));
                }
            }
            Event::Init => {
                self.listing.clear();
                self.writer.apply_watcher_event(&Event::Init);
                // It is said before anything was asked.
                return false;
            }
            Event::InitApply(DeserializeGuard(Ok(object))) => {
                let event = Event::InitApply(slim(object));
                self.writer.apply_watcher_event(&event);
            }
            Event::InitApply(DeserializeGuard(Err(invalid))) => self.carry_over(&invalid),
            Event::InitDone => {
                self.writer.apply_watcher_event(&Event::InitDone);
                self.shared.listed(std::mem::take(&mut self.listing));
                // Nobody listening is fine: the copy is what counts.
                let _ = self.changes.send(Change::All);
            }
        }
        true
    }

    /// What is listed and not understood is there all the same: as it was when it was last understood.
    fn carry_over(&mut self, invalid: &InvalidObject) {
        let reference = reference(invalid);
        if let Some(known) = self.store.get(&reference) {
            let event = watcher::Event::InitApply((*known).clone());
            self.writer.apply_watcher_event(&event);
        }
        if !self.shared.is_unreadable(&reference) {
            complain(&reference, invalid);
        }
        self.listing.insert(reference);
    }

    /// The copy first, then the word.
    fn changed(&mut self, event: &watcher::Event<K>) {
        self.writer.apply_watcher_event(event);
        let (watcher::Event::Apply(object) | watcher::Event::Delete(object)) = event else {
            return;
        };
        let reference = ObjectRef::from_obj(object);
        let seen = match event {
            watcher::Event::Apply(object) => version(object),
            _ => u64::MAX,
        };
        self.shared.forget(&reference, seen);
        let _ = self.changes.send(Change::One(Arc::new(object.clone())));
    }
}

/// Without what costs memory and serves nobody.
fn slim<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

fn reference<K: Resource<DynamicType = ()>>(invalid: &InvalidObject) -> ObjectRef<K> {
    let name = invalid.metadata.name.as_deref().unwrap_or_default();
    let reference = ObjectRef::new(name);
    match &invalid.metadata.namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    }
}

fn complain<K: Resource<DynamicType = ()>>(reference: &ObjectRef<K>, invalid: &InvalidObject) {
    error!(
        object = named(reference),
        error = invalid.error,
        "an object cannot be understood and is left as it is: this program is older than the cluster's definition of \
         {}, so upgrade it; or somebody changed the definition, so apply Kilonova's again",
        K::kind(&())
    );
}

fn named<K: Resource<DynamicType = ()>>(reference: &ObjectRef<K>) -> String {
    let kind = K::kind(&());
    match &reference.namespace {
        Some(namespace) => format!("{kind} {namespace}/{}", reference.name),
        None => format!("{kind} {}", reference.name),
    }
}

/// Says what is wrong with the watch, and what to do where somebody must.
fn tell<K: Resource<DynamicType = ()>>(error: &watcher::Error) {
    let kind = K::kind(&());
    let chain = telemetry::chain(error);
    match code(error) {
        Some(404) => error!(
            %kind, error = chain,
            "the cluster does not know this kind: apply its definition, for Kilonova's own by `kilonova crds | kubectl \
             apply --server-side -f -`; it is tried again until then"
        ),
        Some(401) => error!(
            %kind, error = chain,
            "the API server does not know this account (any more): its token has ended, or it was deleted; it is tried \
             again"
        ),
        Some(403) => error!(
            %kind, error = chain,
            "this account may not list and watch this kind: give it the right; it is tried again until then"
        ),
        _ => warn!(%kind, error = chain, "the watch broke off; it will be taken up again"),
    }
}

/// What the API server answered, if it did.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
