//! The realiser's task: look, compare, write, and look again until nothing is left to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{self, Instant};

use crate::cluster::telemetry;
use crate::network::metrics::NorthboundMetrics;
use crate::network::plan::northbound::diff::Difference;
use crate::network::plan::northbound::{Compiler, Desired, Found, Limits, diff};
use crate::network::plan::topology::Topology;
use crate::ovsdb::{Changes, Event, Fault, Readiness, Session, TransactError};

use super::Standing;
use super::ledger::Ledger;
use super::refusals::Refusals;
use super::view::{self, Meaning};

/// How many rows one transaction changes, about. The server takes about a tenth of a second for so many, and does nothing
/// else meanwhile.
const ROWS_MAX: usize = 1000;
/// How long to wait after a failure that is nobody's fault; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// For how many times as long as a round took the next one waits when nothing is left to do, and for how long at most. While
/// changes come without end, more of them share a transaction then, and ovn-northd, which looks at everything after each,
/// has fewer to look at.
const REST: u32 = 8;
const LONGEST_REST: Duration = Duration::from_secs(1);
/// How often it is told for how long something has been to do.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// Everything that the task has.
pub struct Driver {
    session: Session,
    readiness: watch::Receiver<Readiness>,
    newest: watch::Receiver<Option<Arc<Topology>>>,
    ledger: Arc<Ledger>,
    metrics: NorthboundMetrics,
    changes: Changes,
    compiler: Compiler,
    desired: Option<Arc<Desired>>,
    refusals: Refusals,
    pause: Option<Duration>,
    /// Since when something has been to do.
    since: Option<Instant>,
}

/// What comes next.
enum Next {
    /// Look again at once.
    Again,
    /// Wait until something happens, or until then.
    Wait(Option<Instant>),
}

impl Driver {
    /// Of a session that has just begun.
    pub fn new(
        session: Session,
        newest: watch::Receiver<Option<Arc<Topology>>>,
        ledger: Arc<Ledger>,
        metrics: NorthboundMetrics,
    ) -> Self {
        Self {
            readiness: session.readiness(),
            changes: session.replica().changes(),
            session,
            newest,
            ledger,
            metrics,
            compiler: Compiler::default(),
            desired: None,
            refusals: Refusals::default(),
            pause: None,
            since: None,
        }
    }

    /// Never returns: it is aborted.
    pub async fn run(mut self) {
        loop {
            let began = Instant::now();
            if let Next::Wait(until) = self.round().await {
                let rested = Instant::now() + (began.elapsed() * REST).min(LONGEST_REST);
                self.wait(until).await;
                time::sleep_until(rested).await;
            }
        }
    }

    /// Looks at everything once, and writes what one transaction can hold.
    async fn round(&mut self) -> Next {
        let reason = match &*self.readiness.borrow_and_update() {
            Readiness::Ready { .. } => None,
            Readiness::Waiting { reason } => Some(reason.clone()),
        };
        self.metrics.ready(reason.is_none());
        if let Some(reason) = reason {
            self.ledger.away(&reason);
            return Next::Wait(None);
        }
        let is_newest = self.take_newest().await;
        let Some(desired) = self.desired.clone() else {
            return Next::Wait(None);
        };
        // Whatever was announced before is in what is looked at now.
        self.changes = self.session.replica().changes();
        let found = Arc::new(view::found(&self.session));
        let without = self.refusals.resting(Instant::now());
        let objects = self.refusals.objects_max();
        let compared = {
            let (desired, found) = (Arc::clone(&desired), Arc::clone(&found));
            let compare = move || {
                let limits = Limits {
                    rows: ROWS_MAX,
                    objects,
                    without: &without,
                };
                diff(&desired, &found, &limits)
            };
            tokio::task::spawn_blocking(compare).await
        };
        let difference = match compared {
            Ok(difference) => difference,
            Err(error) => {
                tracing::error!(%error, "comparing networks with OVN's northbound database failed");
                return self.pause();
            }
        };
        self.note(&desired, &found, &difference, is_newest);
        if difference.change.is_empty() {
            self.ledger.troubled(None);
            self.pause = None;
            return Next::Wait(self.refusals.next());
        }
        self.write(&difference).await
    }

    /// Compiles the newest topology, unless that has been done.
    async fn take_newest(&mut self) -> bool {
        if self.newest.has_changed().unwrap_or(false) || self.desired.is_none() {
            let Some(topology) = self.newest.borrow_and_update().clone() else {
                return false;
            };
            let mut compiler = std::mem::take(&mut self.compiler);
            let compile = move || {
                let desired = compiler.compile(&topology);
                (compiler, desired)
            };
            match tokio::task::spawn_blocking(compile).await {
                Ok((compiler, desired)) => {
                    self.compiler = compiler;
                    self.replace(desired);
                }
                Err(error) => {
                    tracing::error!(%error, "compiling networks to rows failed");
                    return false;
                }
            }
        }
        !self.newest.has_changed().unwrap_or(false)
    }

    /// An object that was refused is tried again at once if it is another now.
    fn replace(&mut self, desired: Desired) {
        if let Some(before) = &self.desired {
            for uid in self.refusals.uids() {
                if !before.is_same_object(&desired, &uid) {
                    self.refusals.forgive(&uid);
                }
            }
        }
        self.desired = Some(Arc::new(desired));
    }

    /// Says how everybody stands. What is just being written keeps its standing: it is as it should be in a moment, or the
    /// transaction fails and says so.
    fn note(&mut self, desired: &Desired, found: &Found, difference: &Difference, is_newest: bool) {
        let Difference {
            objects, differing, ..
        } = difference;
        self.refusals.keep(|uid| differing.contains(uid));
        let up = view::up(found);
        let mut standings = HashMap::new();
        for uid in desired.uids() {
            let uid: &str = uid;
            let standing = if !differing.contains(uid) {
                match up.get(uid) {
                    Some(true) => Standing::Up,
                    Some(false) | None => Standing::Written,
                }
            } else if let Some(reason) = self.refusals.reason(uid) {
                Standing::Failed(reason.to_owned())
            } else {
                match self.ledger.last(uid) {
                    Some(last @ (Standing::Written | Standing::Up)) if objects.contains(uid) => {
                        last
                    }
                    _ => Standing::Pending,
                }
            };
            standings.insert(uid.to_owned(), standing);
        }
        let gone = differing
            .iter()
            .filter(|uid| !desired.uids().contains(&***uid));
        standings.extend(gone.map(|uid| ((**uid).to_owned(), Standing::Pending)));
        let count = |is: fn(&Standing) -> bool| standings.values().filter(|one| is(one)).count();
        let failed = count(|standing| matches!(standing, Standing::Failed(_)));
        let pending = count(|standing| matches!(standing, Standing::Pending));
        self.metrics.stand("failed", failed);
        self.metrics.stand("pending", pending);
        self.metrics
            .stand("written", standings.len() - failed - pending);
        self.ledger.write(standings, is_newest);
        self.since = match (differing.is_empty(), self.since) {
            (true, _) => None,
            (false, since) => since.or_else(|| Some(Instant::now())),
        };
        self.tell_age();
    }

    fn tell_age(&self) {
        let age = self.since.map(|since| since.elapsed());
        self.metrics.age(age.unwrap_or_default());
    }

    async fn write(&mut self, difference: &Difference) -> Next {
        let transaction = difference.change.transaction();
        let begun = Instant::now();
        let result = self.session.transact(&transaction).await;
        let took = begun.elapsed();
        let Err(error) = result else {
            self.metrics.transacted("done", took);
            self.metrics.wrote(difference.change.rows());
            self.refusals.done();
            self.ledger.troubled(None);
            self.pause = None;
            tracing::debug!(
                rows = difference.change.rows(),
                objects = difference.objects.len(),
                took_seconds = took.as_secs_f64(),
                "wrote OVN's northbound database"
            );
            return Next::Again;
        };
        self.ledger.pending(&difference.objects);
        let reason = telemetry::chain(&error);
        match verdict(&error) {
            Verdict::Overtaken => {
                self.metrics.transacted("overtaken", took);
                tracing::debug!(reason, "somebody else wrote OVN's northbound database, too");
                self.pause()
            }
            Verdict::Refused => {
                self.metrics.transacted("refused", took);
                self.refused(difference, &error, &reason);
                Next::Again
            }
            Verdict::Failed => {
                self.metrics.transacted("failed", took);
                tracing::warn!(reason, "could not write OVN's northbound database");
                self.ledger.troubled(Some(reason));
                self.pause()
            }
        }
    }

    fn refused(&mut self, difference: &Difference, error: &TransactError, reason: &str) {
        let place = error.failure().and_then(|failure| failure.place);
        let culprit = place.and_then(|place| difference.change.object_at(place.index));
        let objects: Vec<&str> = difference.objects.iter().map(|uid| &**uid).collect();
        tracing::warn!(
            reason,
            objects = objects.len(),
            "OVN's northbound database refused a transaction"
        );
        let culprit = culprit.map(|uid| &**uid);
        self.refusals
            .refuse(&objects, culprit, reason, Instant::now());
    }

    fn pause(&mut self) -> Next {
        let pause = self
            .pause
            .map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        Next::Wait(Some(Instant::now() + pause))
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self, until: Option<Instant>) {
        loop {
            let until = until.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
            let tell = self.since.map(|_| Instant::now() + TELL_INTERVAL);
            let wake = tell.map_or(until, |tell| tell.min(until));
            // After a failure only time helps, or another session: what wants to be written waits, too.
            let is_pausing = self.pause.is_some();
            tokio::select! {
                changed = self.newest.changed(), if !is_pausing => {
                    if changed.is_err() {
                        // The handle has gone, and this task with it.
                        std::future::pending::<()>().await;
                    }
                    // Whoever looks next shall see that it is new.
                    self.newest.mark_changed();
                    return;
                }
                _ = self.readiness.changed() => return,
                event = self.changes.next() => {
                    if self.heard(event) && !is_pausing {
                        return;
                    }
                }
                () = time::sleep_until(wake) => {
                    self.tell_age();
                    if wake == until {
                        return;
                    }
                }
            }
        }
    }

    /// Whether an event is a reason to look at everything.
    fn heard(&self, event: Option<Event>) -> bool {
        let Some(Event::Row(change)) = event else {
            return true;
        };
        match view::meaning(&change) {
            Meaning::None => false,
            Meaning::Up(uid, is_up) => {
                self.ledger.up(uid, is_up);
                false
            }
            Meaning::Ours => true,
        }
    }
}

/// What to do about a transaction that has no results.
enum Verdict {
    /// Look again, and write what is to be written then.
    Overtaken,
    /// Some row is not to the database's liking.
    Refused,
    /// Nothing is, at the moment, or nobody knows.
    Failed,
}

fn verdict(error: &TransactError) -> Verdict {
    match error.failure().map(|failure| &failure.fault) {
        Some(Fault::TimedOut) => Verdict::Overtaken,
        Some(
            Fault::ConstraintViolation
            | Fault::ReferentialIntegrityViolation
            | Fault::DomainError
            | Fault::RangeError
            | Fault::DuplicateUuidName
            | Fault::SyntaxError
            | Fault::Other(_),
        ) => Verdict::Refused,
        Some(
            Fault::ResourcesExhausted
            | Fault::IoError
            | Fault::NotOwner
            | Fault::PermissionError
            | Fault::NotAllowed,
        )
        | None => Verdict::Failed,
    }
}
