//! What the controllers of servers know of Ports: which were made for whom, and who still has one plugged in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use tokio::time::Instant;

use crate::{
    api::{
        guest::Guest,
        port::{OF_SERVER_LABEL, Port},
        server::Server,
    },
    cluster::Cache,
    compute::plan::{
        ports::{self, Found},
        server::Progress,
    },
};

use super::Context;

/// How long a new server says nothing of ports that have no addresses yet: they usually have them at once, and each word
/// is a write.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is remembered of ports.
#[derive(Default)]
pub struct Ports {
    /// The names of the ports that were made for each server, by its UID.
    made: Mutex<HashMap<String, BTreeSet<String>>>,
    /// Since when servers wait for ports without having said so, by UID.
    waiting: Mutex<HashMap<String, Instant>>,
}

impl Ports {
    /// Takes note of whom a port was made for.
    pub fn note(&self, port: &Port) {
        if let Some(server) = port.labels().get(OF_SERVER_LABEL) {
            let mut made = locked(&self.made);
            let names = made.entry(server.clone()).or_default();
            names.insert(port.name_any());
        }
    }

    /// Takes note of all of them anew.
    pub fn rebuild(&self, ports: &Cache<Port>) {
        locked(&self.made).clear();
        for port in ports.all() {
            self.note(&port);
        }
    }

    /// Forgets a server that is gone.
    pub fn forget(&self, server: &Server) {
        let uid = server.uid().unwrap_or_default();
        locked(&self.made).remove(&uid);
        locked(&self.waiting).remove(&uid);
    }

    /// For how long a server that waits for its ports may still keep quiet about it.
    pub fn patience(&self, server: &Server, progress: &Progress) -> Option<Duration> {
        let uid = server.uid().unwrap_or_default();
        let mut waiting = locked(&self.waiting);
        let is_brief = matches!(progress, Progress::Unconnected(trouble) if trouble.is_brief());
        if !is_brief || server.status.is_some() {
            waiting.remove(&uid);
            return None;
        }
        let since = waiting.entry(uid).or_insert_with(Instant::now);
        let left = PATIENCE.saturating_sub(since.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// As if the server had waited for long, for tests.
    #[cfg(test)]
    pub(super) fn hurry(&self, server: &Server) {
        let uid = server.uid().unwrap_or_default();
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        locked(&self.waiting).insert(uid, long_ago);
    }

    fn made_for(&self, server: &Server) -> Vec<String> {
        let made = locked(&self.made);
        let names = server.uid().and_then(|uid| made.get(&uid));
        names.into_iter().flatten().cloned().collect()
    }
}

/// A panic while a map was held cannot have left it half changed.
fn locked<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that concerns the server's ports.
pub fn gather(ctx: &Context, server: &Server, guest: Option<&Guest>) -> Found {
    let home = server.namespace().unwrap_or_default();
    let names = ports::names(server).chain(ctx.ports.made_for(server));
    let found = names.filter_map(|name| {
        let port = ctx.caches.ports.get(Some(&home), &name)?;
        Some((name, port))
    });
    let ports: BTreeMap<_, _> = found.collect();
    let held = held(ctx, server, guest, &ports);
    Found { ports, held }
}

/// Who else has one of the ports plugged in. Only ports that their owner has brought move from one server to another.
fn held(
    ctx: &Context,
    server: &Server,
    guest: Option<&Guest>,
    ports: &BTreeMap<String, std::sync::Arc<Port>>,
) -> BTreeMap<String, String> {
    let is_plugged = |guest: &Guest, uid: &str| {
        let told = guest.spec.nics.iter().any(|nic| nic.port == uid);
        let status = guest.status.as_ref();
        told || status.is_some_and(|status| status.nics.iter().any(|port| port == uid))
    };
    let brought = ports
        .values()
        .filter(|port| !port.labels().contains_key(OF_SERVER_LABEL));
    let new: Vec<String> = brought
        .filter_map(|port| port.uid())
        .filter(|uid| guest.is_none_or(|guest| !is_plugged(guest, uid)))
        .collect();
    if new.is_empty() {
        return BTreeMap::new();
    }
    let ours = server.uid().unwrap_or_default();
    let mut held = BTreeMap::new();
    for other in ctx.caches.guests.all() {
        let identity = &other.spec.server;
        for uid in new
            .iter()
            .filter(|uid| identity.uid != ours && is_plugged(&other, uid))
        {
            let name = format!("{}/{}", identity.namespace, identity.name);
            held.insert(uid.clone(), name);
        }
    }
    held
}
