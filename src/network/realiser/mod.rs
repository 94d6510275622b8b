//! Makes OVN's northbound database hold what the topology says: one task with one long-lived session.
//!
//! The first change goes at once. What comes while a transaction runs waits for its end and goes together in the next one, so
//! the busier it is, the more objects share a transaction, and nobody waits for a timer.
//!
//! Whatever changes a row of ours, it is put right; a database that was emptied is filled again. An object whose rows the
//! database refuses is found out, left alone for a while, and said to have failed; it keeps nobody else waiting.
//!
//! It never waits for the flows on the nodes: it tells of them, when OVN does.

mod ledger;
mod refusals;
mod run;
mod view;

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::network::metrics::NorthboundMetrics;
use crate::network::plan::topology::{Topology, Uid};
use crate::ovsdb::{Endpoint, Limits, Member, Session, Settings, Tls, northbound};

use ledger::Ledger;
use run::Driver;

/// How often to look whether the newest topology was compared, when nobody tells of it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where the database is, and whom to tell.
#[derive(Clone)]
pub struct RealiserSettings {
    /// The servers that may have the database.
    pub endpoints: Vec<Endpoint>,
    /// The certificates, if there are endpoints of kind `ssl`.
    pub tls: Option<Tls>,
    /// What is counted.
    pub metrics: NorthboundMetrics,
}

/// How an object stands in OVN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The database cannot be seen; says why.
    Unknown(String),
    /// Nobody wants it, and OVN has nothing of it (any more).
    Absent,
    /// Something of it has to be written, or to be removed.
    Pending,
    /// The database has it as it is wanted.
    Written,
    /// Of a port: its node's switch has its flows, too.
    Up,
    /// The database refuses it; says why. It is tried again, less and less often, and when it changes.
    Failed(String),
}

/// Whose standing may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandingChange {
    /// One object's.
    One(Uid),
    /// Anybody's.
    All,
}

/// A handle; the task ends with the last one. An operator that leads no more drops it, and nothing is written any more.
#[derive(Clone)]
pub struct Realiser(Arc<Inner>);

struct Inner {
    wanted: watch::Sender<Option<Arc<Topology>>>,
    ledger: Arc<Ledger>,
    metrics: NorthboundMetrics,
    task: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
        self.metrics.left();
    }
}

impl Realiser {
    /// Begins the session and the task. There has to be a tokio runtime.
    pub fn start(settings: RealiserSettings) -> Self {
        let RealiserSettings {
            endpoints,
            tls,
            metrics,
        } = settings;
        let session = Session::start(Settings {
            database: northbound::DATABASE.to_owned(),
            endpoints,
            tls,
            member: Member::Leader,
            monitors: view::monitors(),
            limits: Limits::default(),
        });
        metrics.entered();
        let (wanted, newest) = watch::channel(None);
        let ledger = Arc::new(Ledger::default());
        let driver = Driver::new(session, newest, Arc::clone(&ledger), metrics.clone());
        let task = tokio::spawn(driver.run());
        Self(Arc::new(Inner {
            wanted,
            ledger,
            metrics,
            task,
        }))
    }

    /// The newest topology, which has to be complete: rows of objects that it lacks are removed. It replaces one that has
    /// not been looked at yet; one that is equal is no news. Never waits.
    pub fn want(&self, topology: Arc<Topology>) {
        self.0.wanted.send_if_modified(|newest| {
            let is_new = newest.as_ref() != Some(&topology);
            if is_new {
                self.0.ledger.behind();
                *newest = Some(topology);
            }
            is_new
        });
    }

    /// How an object stands.
    pub fn standing(&self, uid: &str) -> Standing {
        self.0.ledger.standing(uid)
    }

    /// Waits until the newest topology was compared with the database, and standings are what the database says. Safe to
    /// cancel.
    pub async fn settled(&self) {
        let mut changes = std::pin::pin!(self.changes());
        while !self.0.ledger.is_settled() {
            // A comparison that finds nothing new tells nobody.
            let _ = timeout(LOOK_AGAIN, changes.next()).await;
        }
    }

    /// Whose standing may have changed, from now on.
    pub fn changes(&self) -> impl Stream<Item = StandingChange> + Send + use<> {
        self.0.ledger.changes()
    }

    /// Why the database cannot be used, for people; none while it can.
    pub fn trouble(&self) -> Option<String> {
        self.0.ledger.trouble()
    }
}
