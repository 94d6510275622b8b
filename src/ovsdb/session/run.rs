//! The session's task: goes round the endpoints, uses the one that will do for as long as it does, and waits in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::attach::{Attached, attach, chain};
use super::backoff::Backoff;
use super::standing::Seen;
use super::{Readiness, Settings, State};
use crate::ovsdb::replica::Replica;
use crate::ovsdb::wire::Endpoint;

/// Everything that the task has.
pub struct Driver {
    pub settings: Settings,
    pub replica: Replica,
    pub state: watch::Sender<State>,
    pub readiness: watch::Sender<Readiness>,
}

/// What came of trying each endpoint once.
enum Round {
    /// One of them did, for so long.
    Served { lived: Duration, reason: String },
    /// None of them did.
    Refused { reason: String },
}

impl Driver {
    /// Never returns: it is aborted.
    pub async fn run(self) {
        let mut backoff = Backoff::default();
        let mut seen = Seen::default();
        let mut first = 0;
        loop {
            let round = self.round(&mut first, &mut seen).await;
            let (may_go_on, reason) = match round {
                Round::Served { lived, reason } => (backoff.served(lived), reason),
                Round::Refused { reason } => (false, reason),
            };
            self.readiness.send_replace(Readiness::Waiting { reason });
            if !may_go_on {
                time::sleep(backoff.next()).await;
            }
        }
    }

    /// Tries the endpoints in turn, beginning with `first`, until one has served.
    async fn round(&self, first: &mut usize, seen: &mut Seen) -> Round {
        let Settings {
            database,
            endpoints,
            ..
        } = &self.settings;
        let mut reasons = Vec::new();
        let (before, after) = endpoints.split_at((*first).min(endpoints.len()));
        for endpoint in after.iter().chain(before) {
            let attached = attach(endpoint, &self.settings, &self.replica, seen).await;
            let attached = match attached {
                Ok(attached) => attached,
                Err(error) => {
                    let reason = chain(&error);
                    tracing::debug!(database, %endpoint, reason, "a database's server will not do");
                    reasons.push(format!("{endpoint}: {reason}"));
                    continue;
                }
            };
            tracing::info!(database, %endpoint, "a database's server is there");
            let begun = Instant::now();
            let reason = self.serve(endpoint, attached, seen).await;
            tracing::warn!(database, %endpoint, reason, "a database's server will not do any more");
            let at = endpoints.iter().position(|other| other == endpoint);
            *first = at.map_or(0, |at| (at + 1) % endpoints.len());
            let reason = format!("{endpoint}: {reason}");
            return Round::Served {
                lived: begun.elapsed(),
                reason,
            };
        }
        if reasons.is_empty() {
            reasons.push("no endpoint is configured".to_owned());
        }
        Round::Refused {
            reason: reasons.join("; "),
        }
    }

    /// Uses a server until it will not do any more; returns why.
    async fn serve(&self, endpoint: &Endpoint, attached: Attached, seen: &mut Seen) -> String {
        let connection = attached.connection.0.clone();
        let schema = Arc::clone(&attached.schema);
        self.state
            .send_replace(State::Attached { connection, schema });
        let endpoint = endpoint.clone();
        self.readiness.send_replace(Readiness::Ready {
            endpoint: endpoint.clone(),
        });
        let reason = attached.left(&self.settings, seen).await;
        self.state.send_replace(State::Away);
        let shown = format!("{endpoint}: {reason}");
        self.readiness
            .send_replace(Readiness::Waiting { reason: shown });
        attached.connection.end().await;
        reason
    }
}
