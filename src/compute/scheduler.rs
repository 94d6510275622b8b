//! The scheduler as controllers use it: the pure core behind a lock, and word to those who wait when room appears.
//!
//! It must never be asked before it has been told of every hypervisor and every binding ([`Scheduler::rebuild`]).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::{sync::broadcast, time::Instant};

use crate::{
    api::{
        hypervisor::Hypervisor,
        server::{Resources, Server},
    },
    cluster::Cache,
};

use super::{
    metrics::{By, Decided, SchedulerMetrics},
    plan::{
        resolve::Resolved,
        scheduler::{Account, Host, Placement, Refusal, Request, View, Weights},
        server::Binding,
    },
};

/// How many calls of "there is room" a listener may miss before it looks at everybody who waits, which is what
/// it does anyway.
const CALLS_MAX: usize = 16;

/// Places servers.
pub struct Scheduler {
    state: Mutex<State>,
    room: broadcast::Sender<()>,
    metrics: SchedulerMetrics,
}

struct State {
    view: View,
    /// Places that were given away and may not be in anybody's status yet.
    assumed: HashMap<String, Assumed>,
    /// Servers that no hypervisor could take.
    waiting: HashSet<ObjectRef<Server>>,
}

struct Assumed {
    node: String,
    resources: Resources,
    since: Instant,
}

/// By then a claim is in the server's status, or was given up: a request to the API server ends sooner.
const ASSUMED_MAX: Duration = Duration::from_mins(1);

impl Scheduler {
    /// A scheduler that knows of nothing yet.
    pub fn new(metrics: SchedulerMetrics) -> Self {
        let state = State {
            view: View::new(Weights::default()),
            assumed: HashMap::new(),
            waiting: HashSet::new(),
        };
        Self {
            state: Mutex::new(state),
            room: broadcast::channel(CALLS_MAX).0,
            metrics,
        }
    }

    /// Learns every hypervisor and every binding anew: before it is first asked, and now and then afterwards. Whoever
    /// waits is called if that found room.
    pub fn rebuild(&self, hypervisors: &Cache<Hypervisor>, servers: &Cache<Server>) {
        let hypervisors = hypervisors.all();
        for hypervisor in &hypervisors {
            self.see(hypervisor);
        }
        let known: HashSet<String> = hypervisors.iter().map(|known| known.name_any()).collect();
        let servers = servers.all();
        let bound: HashMap<String, Binding> = servers
            .iter()
            .filter_map(|server| Some((server.uid()?, Binding::of(server)?)))
            .collect();
        let there: HashSet<ObjectRef<Server>> = servers
            .iter()
            .map(|server| ObjectRef::from_obj(&**server))
            .collect();
        let mut state = self.locked();
        let State {
            view,
            assumed,
            waiting,
        } = &mut *state;
        view.retain_hosts(|name| known.contains(name));
        assumed
            .retain(|uid, place| place.since.elapsed() < ASSUMED_MAX && !bound.contains_key(uid));
        let claimed = bound
            .iter()
            .map(|(uid, binding)| (uid.as_str(), binding.node.as_str(), binding.resources));
        let pending = assumed
            .iter()
            .map(|(uid, place)| (uid.as_str(), place.node.as_str(), place.resources));
        let room = view.rebind_all(claimed.chain(pending));
        waiting.retain(|reference| there.contains(reference));
        drop(state);
        if room {
            self.call();
        }
    }

    /// Takes note of how a hypervisor stands.
    pub fn see(&self, hypervisor: &Hypervisor) {
        let host = Host::from_hypervisor(hypervisor);
        if self.locked().view.set_host(&hypervisor.name_any(), host) {
            self.call();
        }
    }

    /// Takes a place for the server, or says why there is none; then it is called when room appears.
    ///
    /// Asked again for a server that has a place already, it gives the same one.
    pub fn place(&self, server: &Server, resolved: &Resolved) -> Result<Placement, Refusal> {
        let uid = server.uid().unwrap_or_default();
        let nowhere = BTreeMap::new();
        let node_selector = server
            .spec
            .placement
            .as_ref()
            .map_or(&nowhere, |placement| &placement.node_selector);
        let request = Request {
            uid: &uid,
            resources: resolved.resources,
            needs: &resolved.needs,
            node_selector,
        };
        let began = Instant::now();
        let mut state = self.locked();
        let result = state.view.place_and_assume(&request);
        match &result {
            Ok(Placement { node }) => {
                state.waiting.remove(&ObjectRef::from_obj(server));
                let place = Assumed {
                    node: node.clone(),
                    resources: resolved.resources,
                    since: Instant::now(),
                };
                state.assumed.insert(uid.clone(), place);
            }
            Err(_) => {
                state.waiting.insert(ObjectRef::from_obj(server));
            }
        }
        drop(state);
        self.metrics.latency.observe(began.elapsed().as_secs_f64());
        self.count(&result);
        result
    }

    /// Gives back what the server took.
    pub fn forget(&self, server: &Server) {
        let mut state = self.locked();
        state.waiting.remove(&ObjectRef::from_obj(server));
        let uid = server.uid().unwrap_or_default();
        state.assumed.remove(&uid);
        let freed = state.view.forget(&uid);
        drop(state);
        if freed {
            self.call();
        }
    }

    /// The servers that wait, each time that room may have appeared.
    pub fn room(self: &Arc<Self>) -> impl Stream<Item = ObjectRef<Server>> + Send + 'static {
        let scheduler = Arc::clone(self);
        let calls = stream::unfold(self.room.subscribe(), |mut calls| async {
            match calls.recv().await {
                Ok(()) | Err(broadcast::error::RecvError::Lagged(_)) => Some(((), calls)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        calls.flat_map(move |()| {
            let waiting: Vec<_> = scheduler.locked().waiting.iter().cloned().collect();
            stream::iter(waiting)
        })
    }

    /// How many servers wait for room.
    pub fn waiting(&self) -> usize {
        self.locked().waiting.len()
    }

    /// What each hypervisor may give to servers, and what it has given.
    pub fn accounts(&self) -> BTreeMap<String, Account> {
        let state = self.locked();
        let accounts = state.view.accounts();
        accounts
            .map(|(name, account)| (name.to_owned(), account))
            .collect()
    }

    fn call(&self) {
        // Nobody listening means that nobody waits.
        let _ = self.room.send(());
    }

    fn count(&self, result: &Result<Placement, Refusal>) {
        let outcome = if result.is_ok() { "placed" } else { "refused" };
        self.metrics
            .decisions
            .get_or_create(&Decided { outcome })
            .inc();
        if let Err(refusal) = result {
            for (filter, hosts) in refusal.by_filter() {
                self.metrics
                    .refusals
                    .get_or_create(&By {
                        filter: filter.as_str(),
                    })
                    .inc_by(u64::from(hosts));
            }
        }
    }

    /// A panic in the core would be a bug; what it left is still the best that is known until the next rebuild.
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
