//! Links to libvirtd: one that listens and reads, a few that act; replaced when libvirtd goes and comes back.
//!
//! Every call runs on a blocking thread and under a time limit. libvirtd serves the calls of one connection five at
//! a time and some calls take minutes, so a call that acts has a link to itself: then a guest that takes long to be
//! saved keeps nobody else waiting.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch},
    task::{self, AbortHandle},
    time,
};
use tracing::{info, warn};

use crate::{
    api::hypervisor::VirtType,
    cluster::telemetry,
    node::driver::{DriverError, DriverEvent, Observer, Operation, Outcome, Subject},
};

use super::{
    error::CallError,
    events::{self, Listening},
    link::Link,
};

/// How many calls read at once: what libvirtd serves of one connection at a time (`max_client_requests`).
const READS_MAX: usize = 5;

/// How many calls act at once; how many more start a guest; and how many more save a guest's memory, which can take
/// minutes and must keep no start waiting. All together are less than libvirtd's workers (`max_workers`), so that an
/// administrator's virsh still gets one: 5 + 5 + 6 + 3 < 20.
const ACTS_MAX: usize = 5;
const STARTS_MAX: usize = 6;
const MOVES_MAX: usize = 3;

/// How long a call waits for libvirtd to be there (again): as long as a restart of libvirtd takes.
const RECONNECT_GRACE: Duration = Duration::from_secs(2);

/// How long an attempt to connect may take before that is told, again and again.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Between attempts to connect: 50 ms, doubled up to 2 s.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How many events a slow listener may be behind before it misses some: a few for each of some hundred guests.
const EVENTS_MAX: usize = 1024;

/// How to reach libvirt, and what to tell about it.
#[derive(Clone)]
pub struct Settings {
    /// Where libvirt is, such as `qemu:///system`.
    pub uri: String,
    /// How guests shall run; `None`: as fast as the host can.
    pub virt_type: Option<VirtType>,
    /// Hears of every call.
    pub observer: Observer,
}

/// What a call does, and so with which others it competes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Only looks.
    Read,
    /// Acts, and is done within seconds.
    Act,
    /// Starts a guest, perhaps from saved memory.
    Start,
    /// Acts, and moves all of a guest's memory to disk.
    Move,
}

/// What a call is: for messages, metrics and limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) subject: Subject,
    pub(super) access: Access,
    /// For the call itself, and as much for the wait until it may begin.
    pub(super) time_max: Duration,
}

/// All links, and the task that keeps them.
pub(super) struct Connection {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    settings: Settings,
    /// The link that reads and listens; `None` while libvirtd is away.
    main: watch::Sender<Option<Arc<Link>>>,
    /// Links that acted and are free again. A std mutex: it is never held while anything waits.
    spare: Mutex<Vec<Link>>,
    reads: Arc<Semaphore>,
    acts: Arc<Semaphore>,
    starts: Arc<Semaphore>,
    moves: Arc<Semaphore>,
    events: broadcast::Sender<DriverEvent>,
}

impl Connection {
    /// Starts to connect, and keeps connected until dropped. Needs a tokio runtime.
    pub(super) fn new(settings: Settings) -> Self {
        let shared = Arc::new(Shared {
            settings,
            main: watch::Sender::new(None),
            spare: Mutex::new(Vec::new()),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            acts: Arc::new(Semaphore::new(ACTS_MAX)),
            starts: Arc::new(Semaphore::new(STARTS_MAX)),
            moves: Arc::new(Semaphore::new(MOVES_MAX)),
            events: broadcast::Sender::new(EVENTS_MAX),
        });
        let keeper = task::spawn(keep(Arc::clone(&shared))).abort_handle();
        Self { shared, keeper }
    }

    pub(super) fn events(&self) -> broadcast::Receiver<DriverEvent> {
        self.shared.events.subscribe()
    }

    /// How guests shall run.
    pub(super) fn virt_type(&self) -> Option<VirtType> {
        self.shared.settings.virt_type
    }

    /// Runs `work` on a link of its own or the shared one.
    ///
    /// A call that exceeds its time is reported as failed but cannot be stopped: its thread goes on, holds its place
    /// among the calls that may run at once, and may still succeed.
    pub(super) async fn run<T, W>(&self, call: Call, work: W) -> Result<T, DriverError>
    where
        T: Send + 'static,
        W: FnOnce(&Link) -> Result<T, CallError> + Send + 'static,
    {
        let begun = Instant::now();
        let result = self.shared.attempt(&call, work).await;
        let result = result.map_err(|error| error.into_driver_error(call.operation, call.subject));
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed(error.kind),
        };
        (self.shared.settings.observer)(call.operation, begun.elapsed(), outcome);
        result
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    async fn attempt<T, W>(self: &Arc<Self>, call: &Call, work: W) -> Result<T, CallError>
    where
        T: Send + 'static,
        W: FnOnce(&Link) -> Result<T, CallError> + Send + 'static,
    {
        let main = self.main_link().await?;
        let places = match call.access {
            Access::Read => &self.reads,
            Access::Act => &self.acts,
            Access::Start => &self.starts,
            Access::Move => &self.moves,
        };
        // A call that had to wait for others has all its time for itself afterwards.
        let permit = time::timeout(call.time_max, permit(places))
            .await
            .map_err(|_| CallError::Crowded(call.time_max))??;
        let work = async {
            match call.access {
                Access::Read => blocking(permit, move || work(&main)).await,
                Access::Act | Access::Start | Access::Move => {
                    let shared = Arc::clone(self);
                    blocking(permit, move || shared.act(work)).await
                }
            }
        };
        time::timeout(call.time_max, work)
            .await
            .map_err(|_| CallError::TimedOut(call.time_max))?
    }

    /// The link that reads, once there is one.
    async fn main_link(&self) -> Result<Arc<Link>, CallError> {
        let mut main = self.main.subscribe();
        let there = time::timeout(RECONNECT_GRACE, main.wait_for(Option::is_some)).await;
        match there {
            Ok(Ok(link)) => link.clone().ok_or(CallError::Disconnected),
            Ok(Err(_)) | Err(_) => Err(CallError::Disconnected),
        }
    }

    /// Blocking.
    fn act<T>(&self, work: impl FnOnce(&Link) -> Result<T, CallError>) -> Result<T, CallError> {
        let spare = self.spare().pop().filter(Link::is_alive);
        let link = match spare {
            Some(link) => link,
            None => Link::open(&self.settings.uri)?,
        };
        let result = work(&link);
        if link.is_alive() {
            self.spare().push(link);
        }
        result
    }

    /// The list stays sound whatever a panicking holder did to it, so a poisoned lock is taken all the same.
    fn spare(&self) -> MutexGuard<'_, Vec<Link>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody listening is no failure.
    fn tell(&self, event: DriverEvent) {
        let _ = self.events.send(event);
    }
}

async fn permit(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, CallError> {
    Arc::clone(semaphore)
        .acquire_owned()
        .await
        .map_err(|_| CallError::Disconnected)
}

/// The permit goes with the thread, not with whoever waits for it: a thread that nobody waits for any more still
/// counts.
async fn blocking<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let thread = task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    thread
        .await
        .unwrap_or_else(|error| Err(CallError::BrokeOff(error)))
}

/// Connects, listens until the link is lost, and begins again.
async fn keep(shared: Arc<Shared>) {
    let mut backoff = BACKOFF_MIN;
    let mut said = String::new();
    loop {
        match listen(&shared, &mut said).await {
            Ok((link, listening)) => {
                backoff = BACKOFF_MIN;
                said.clear();
                info!(uri = shared.settings.uri, "connected to libvirt");
                shared.main.send_replace(Some(link));
                shared.tell(DriverEvent::Connected);
                let reason = listening.until_lost().await;
                warn!(uri = shared.settings.uri, reason, "lost libvirt");
                shared.main.send_replace(None);
                shared.tell(DriverEvent::Disconnected);
                let spare = mem::take(&mut *shared.spare());
                // Closing says goodbye, which can block.
                task::spawn_blocking(move || drop((listening, spare)));
            }
            Err(error) => {
                complain(&shared.settings.uri, &error, &mut said);
                time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

/// Opens a link and registers for its events. An attempt that hangs is waited for, since its thread hangs anyway: a new
/// one each time would take a thread each time.
async fn listen(
    shared: &Arc<Shared>,
    said: &mut String,
) -> Result<(Arc<Link>, Listening), DriverError> {
    let (uri, sender) = (shared.settings.uri.clone(), shared.events.clone());
    let mut attempt = task::spawn_blocking(move || {
        events::start_loop()?;
        let link = Arc::new(Link::open(&uri)?);
        let listening = Listening::to(Arc::clone(&link), &sender)?;
        Ok((link, listening))
    });
    loop {
        let begun = Instant::now();
        let result = match time::timeout(CONNECT_TIME_MAX, &mut attempt).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(CallError::BrokeOff(error)),
            Err(_) => Err(CallError::TimedOut(CONNECT_TIME_MAX)),
        };
        let hangs = matches!(result, Err(CallError::TimedOut(_)));
        let result: Result<_, DriverError> =
            result.map_err(|error| error.into_driver_error(Operation::Connect, Subject::Host));
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed(error.kind),
        };
        (shared.settings.observer)(Operation::Connect, begun.elapsed(), outcome);
        match result {
            Err(error) if hangs => complain(&shared.settings.uri, &error, said),
            result => return result,
        }
    }
}

/// Logs the whole chain, once for as long as it stays the same: a host without libvirt is tried every two seconds.
fn complain(uri: &str, error: &DriverError, said: &mut String) {
    let chain = telemetry::chain(error);
    if *said != chain {
        warn!(
            uri,
            error = chain,
            "libvirt is not there; it is tried again"
        );
        *said = chain;
    }
}
