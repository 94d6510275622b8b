//! The seeds of guests, read when a guest first asks for something.
//!
//! A seed is immutable, so it is read once. It holds secrets: it must never be logged, and is forgotten with its guest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tracing::warn;

use crate::{
    api::guest::{SEED_META_DATA, SEED_USER_DATA},
    cluster::{request::in_time, telemetry},
};

use super::plan::instance::Seed;

/// For how long a seed that could not be read is not asked for again: guests ask as often as they like.
const PAUSE: Duration = Duration::from_secs(2);

/// The seeds of one node's guests.
pub struct Seeds {
    api: Api<Secret>,
    namespace: String,
    known: Mutex<BTreeMap<String, Arc<AsyncMutex<State>>>>,
}

#[derive(Default)]
enum State {
    #[default]
    New,
    Read(Arc<Seed>),
    /// When it could not be read.
    Failed(Instant),
}

impl Seeds {
    /// Those in the node's namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            known: Mutex::default(),
        }
    }

    /// The seed of this name; none, if it cannot be read now. Those who ask for one at the same time wait for one request,
    /// and nobody for another's.
    pub async fn get(&self, name: &str) -> Option<Arc<Seed>> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(name.to_owned()).or_default())
        };
        let mut state = slot.lock().await;
        match &*state {
            State::Read(seed) => return Some(Arc::clone(seed)),
            State::Failed(at) if at.elapsed() < PAUSE => return None,
            State::New | State::Failed(_) => {}
        }
        match self.read(name).await {
            Ok(seed) => {
                let seed = Arc::new(seed);
                *state = State::Read(Arc::clone(&seed));
                Some(seed)
            }
            Err(why) => {
                warn!(namespace = self.namespace, seed = name, "{why}");
                *state = State::Failed(Instant::now());
                None
            }
        }
    }

    /// Forgets all but these.
    pub fn keep(&self, names: &BTreeSet<&str>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| names.contains(&**name));
    }

    async fn read(&self, name: &str) -> Result<Seed, String> {
        let subject = format!("Secret {}/{name}", self.namespace);
        let read = in_time("read", subject, self.api.get(name)).await;
        let secret = read.map_err(|error| telemetry::chain(&error))?;
        let data = secret.data.unwrap_or_default();
        let document = |key| data.get(key).map(|value| value.0.as_slice());
        let seed = document(SEED_META_DATA)
            .and_then(|meta_data| Seed::read(meta_data, document(SEED_USER_DATA).unwrap_or(b"")));
        seed.ok_or_else(|| {
            format!("the seed has no {SEED_META_DATA} that this program can read: upgrade it")
        })
    }
}
