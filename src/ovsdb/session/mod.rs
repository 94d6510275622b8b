//! One long-lived session with a database that several servers may serve: finds the member to speak to, keeps a replica,
//! and begins anew when that member dies or leads no more.
//!
//! It never repeats a transaction. One that fails says whether it may have been carried out ([`Outcome`]), and whoever
//! wanted it looks at the replica before it asks again.

mod attach;
mod backoff;
mod run;
mod standing;

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::monitor::Monitors;
use super::replica::Replica;
use super::schema::Schema;
use super::transaction::{Failure, Params, Results, SenselessResult, Transaction};
use super::wire::{Connection, Endpoint, Limits, Outcome, RequestError, Tls};

use run::Driver;

/// How long a transaction may take. Those of a busy raft cluster take less than a second.
const TRANSACT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a session is with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database's name, such as `OVN_Northbound`.
    pub database: String,
    /// The servers that may have it, which are tried in this order.
    pub endpoints: Vec<Endpoint>,
    /// The certificates, if there are endpoints of kind `ssl`.
    pub tls: Option<Tls>,
    /// Which of the servers will do.
    pub member: Member,
    /// What the replica holds.
    pub monitors: Monitors,
    /// What a server may ask of this side.
    pub limits: Limits,
}

/// Which members of a raft cluster will do. A server that is alone leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Member {
    /// The leader only.
    #[default]
    Leader,
    /// Any that is connected to a leader, and not behind what this session has seen. Such a session does not write.
    Any,
}

/// Whether a session can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The replica holds what the server has, and transactions can be asked for.
    Ready {
        /// Of the server.
        endpoint: Endpoint,
    },
    /// No server will do so far; the replica is as it was last. Says what is wrong with each.
    Waiting {
        /// For people.
        reason: String,
    },
}

impl Readiness {
    /// Whether it can be used.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }
}

/// A transaction has no results.
#[derive(Debug, thiserror::Error)]
pub enum TransactError {
    /// There is no server to ask: nothing was sent.
    #[error("database {database} cannot be reached: {reason}")]
    NotReady {
        /// Which one.
        database: String,
        /// What is wrong with each server.
        reason: String,
    },
    /// Only sessions with the leader write: nothing was sent.
    #[error("this session with database {database} only reads, since any member will do for it")]
    ReadOnly {
        /// Which one.
        database: String,
    },
    /// The request as a whole has failed.
    #[error("failed to transact with database {database}")]
    Request {
        /// Which one.
        database: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// An operation, or the commit, has failed: nothing of the transaction has happened.
    #[error("database {database} did not carry out a transaction")]
    Failed {
        /// Which one.
        database: String,
        /// Which operation, and why.
        #[source]
        source: Failure,
    },
    /// The server's answer cannot be understood.
    #[error("failed to understand what database {database} did")]
    Senseless {
        /// Which one.
        database: String,
        /// Why.
        #[source]
        source: SenselessResult,
    },
}

impl TransactError {
    /// Whether the transaction may have been carried out.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotReady { .. } | Self::ReadOnly { .. } | Self::Failed { .. } => Outcome::NotDone,
            Self::Request { source, .. } => source.outcome(),
            Self::Senseless { .. } => Outcome::Unknown,
        }
    }

    /// Which operation failed and why, if that is what happened.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A session, which ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    database: String,
    member: Member,
    replica: Replica,
    state: watch::Receiver<State>,
    readiness: watch::Receiver<Readiness>,
    task: JoinHandle<()>,
}

/// What the session's task tells its handle.
#[derive(Clone, Debug)]
enum State {
    Attached {
        connection: Connection,
        schema: std::sync::Arc<Schema>,
    },
    Away,
}

impl Session {
    /// Begins to look for a server. There has to be a tokio runtime.
    pub fn start(settings: Settings) -> Self {
        let (database, member) = (settings.database.clone(), settings.member);
        let replica = Replica::default();
        let (state, state_seen) = watch::channel(State::Away);
        let reason = "no server was asked yet".to_owned();
        let (readiness, readiness_seen) = watch::channel(Readiness::Waiting { reason });
        let driver = Driver {
            settings,
            replica: replica.clone(),
            state,
            readiness,
        };
        let task = tokio::spawn(driver.run());
        Self {
            database,
            member,
            replica,
            state: state_seen,
            readiness: readiness_seen,
            task,
        }
    }

    /// The copy of what is monitored. It stays readable while no server is there.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether the session can be used, now and from now on.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// Waits until the session can be used.
    pub async fn ready(&self) {
        let mut readiness = self.readiness();
        // The sender goes when the session is dropped, which is borrowed here.
        let _ = readiness.wait_for(Readiness::is_ready).await;
    }

    /// The schema of the server that is spoken to: what a newer or older one knows.
    pub fn schema(&self) -> Option<std::sync::Arc<Schema>> {
        match &*self.state.borrow() {
            State::Attached { schema, .. } => Some(std::sync::Arc::clone(schema)),
            State::Away => None,
        }
    }

    /// Asks for a transaction and waits for its results. Whatever it changes of what is monitored is in the replica before
    /// this returns.
    ///
    /// It is asked for once. To drop this before it returns is an unknown outcome, too.
    pub async fn transact(&self, transaction: &Transaction) -> Result<Results, TransactError> {
        let database = self.database.clone();
        if self.member == Member::Any {
            return Err(TransactError::ReadOnly { database });
        }
        let state = self.state.borrow().clone();
        let State::Attached { connection, .. } = state else {
            let reason = match &*self.readiness.borrow() {
                Readiness::Waiting { reason } => reason.clone(),
                Readiness::Ready { .. } => "its server is just being taken up".to_owned(),
            };
            return Err(TransactError::NotReady { database, reason });
        };
        let params = Params(&database, transaction);
        let answer = connection
            .request("transact", &params, TRANSACT_TIMEOUT)
            .await;
        let results = match answer {
            Ok(answer) => Results::read(transaction, &answer),
            Err(source) => return Err(TransactError::Request { database, source }),
        };
        match results {
            Ok(Ok(results)) => Ok(results),
            Ok(Err(source)) => Err(TransactError::Failed { database, source }),
            Err(source) => Err(TransactError::Senseless { database, source }),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
