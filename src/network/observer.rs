//! Listens to OVN's southbound database for what only OVN knows: see [`Sightings`]. Never writes there.

use std::sync::Arc;

use futures::Stream;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{info, warn};

use crate::{
    network::plan::sightings::{Sightings, Watched, router_of},
    ovsdb::{
        ColumnError, Condition, Endpoint, Limits, Member, Monitors, Readiness, Session, Settings,
        Tls,
        southbound::{Chassis, DATABASE, PortBinding, ServiceMonitor},
    },
};

/// Where the database is.
#[derive(Clone, Debug)]
pub struct ObserverSettings {
    /// The servers that may have the database.
    pub endpoints: Vec<Endpoint>,
    /// The certificates, if there are endpoints of kind `ssl`.
    pub tls: Option<Tls>,
}

/// Listens until it is dropped.
pub struct Observer {
    newest: watch::Receiver<Option<Arc<Sightings>>>,
    task: JoinHandle<()>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    /// Begins the session. There has to be a tokio runtime.
    pub fn start(settings: ObserverSettings) -> Self {
        let session = Session::start(Settings {
            database: DATABASE.to_owned(),
            endpoints: settings.endpoints,
            tls: settings.tls,
            member: Member::Any,
            monitors: Monitors::new()
                .table::<Chassis>()
                .matching::<PortBinding>(&[Condition::equal("type", "chassisredirect")])
                .table::<ServiceMonitor>(),
            limits: Limits::default(),
        });
        let (sender, newest) = watch::channel(None);
        let task = tokio::spawn(listen(session, sender));
        Self { newest, task }
    }

    /// What was seen last; nothing before the database was seen at all.
    pub fn sightings(&self) -> Option<Arc<Sightings>> {
        self.newest.borrow().clone()
    }

    /// A word whenever something else is seen.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        futures::stream::unfold(self.newest.clone(), |mut newest| async {
            newest.changed().await.ok().map(|()| ((), newest))
        })
    }
}

/// Never returns: it is aborted.
async fn listen(session: Session, newest: watch::Sender<Option<Arc<Sightings>>>) {
    let mut readiness = session.readiness();
    // Before the first server was asked there is nothing to complain of.
    let mut said = waits(&readiness);
    loop {
        let mut changes = session.replica().changes();
        readiness.mark_unchanged();
        let trouble = waits(&readiness).or_else(|| match look(&session) {
            Ok(seen) => {
                tell(&newest, seen);
                None
            }
            Err(error) => Some(error.to_string()),
        });
        if trouble != said {
            if let Some(reason) = &trouble {
                warn!(
                    reason,
                    "OVN's southbound database cannot be read: routers' nodes and members' health stay as they were"
                );
            } else {
                info!("OVN's southbound database is read");
            }
            said = trouble;
        }
        tokio::select! {
            told = readiness.changed() => if told.is_err() { return },
            event = changes.next() => if event.is_none() { return },
        }
    }
}

/// Why the database cannot be used, if it cannot.
fn waits(readiness: &watch::Receiver<Readiness>) -> Option<String> {
    match &*readiness.borrow() {
        Readiness::Waiting { reason } => Some(reason.clone()),
        Readiness::Ready { .. } => None,
    }
}

fn tell(newest: &watch::Sender<Option<Arc<Sightings>>>, seen: Sightings) {
    newest.send_if_modified(|last| {
        let is_news = last.as_deref() != Some(&seen);
        if is_news {
            *last = Some(Arc::new(seen));
        }
        is_news
    });
}

/// All that the database says now.
fn look(session: &Session) -> Result<Sightings, ColumnError> {
    let view = session.replica().view();
    let mut seen = Sightings::default();
    for row in view.rows::<PortBinding>() {
        let (_, binding) = row?;
        let chassis = binding.chassis.and_then(|reference| reference.uuid());
        let (Some(router), Some(chassis)) = (router_of(&binding.logical_port), chassis) else {
            continue;
        };
        if let Some(chassis) = view.get::<Chassis>(chassis)? {
            seen.gateways.insert(router.to_owned(), chassis.name);
        }
    }
    for row in view.rows::<ServiceMonitor>() {
        let (_, monitor) = row?;
        if let Some((watched, answers)) = member(monitor) {
            seen.members.insert(watched, answers);
        }
    }
    Ok(seen)
}

/// A row that somebody has answered for. OVN takes a service without a protocol for one of TCP.
fn member(monitor: ServiceMonitor) -> Option<(Watched, bool)> {
    let watched = Watched {
        port: monitor.logical_port,
        address: monitor.ip.parse().ok()?,
        protocol: monitor.protocol.unwrap_or_else(|| "tcp".to_owned()),
        number: u16::try_from(monitor.port).ok()?,
    };
    Some((watched, monitor.status? == "online"))
}
