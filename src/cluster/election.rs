//! One operator acts at a time: whoever holds the Lease. The others stand by with warm caches.
//!
//! ```text
//!            unchanged for LEASE, let go, or gone            not renewed for RENEWED_MAX, or another's
//!  standby ─────────────────────────────────────► leading ─────────────────────────────────────────► lost
//! ```
//!
//! Guarantees: a leader knows that it leads no longer before anybody else may take over, also while the API server is
//! out of reach. The times in the Lease are for people: whoever stands by counts by its own clock from when *it* saw
//! the Lease change. Every write insists on what was read, so of two that try, one is told that it lost.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::time::{self, Instant};
use tracing::{info, warn};

use super::{
    request::{self, Failure, Result},
    telemetry,
};

use candidate::{Candidate, Move};

mod candidate;
mod standing;

pub use standing::{Standing, standing};

/// How long the Lease must have been unchanged before a standby takes it.
const LEASE: Duration = Duration::from_secs(10);

/// How long a leader leads after its last renewal. The rest of the lease is for what it has under way to end.
const RENEWED_MAX: Duration = Duration::from_secs(7);

const _: () = assert!(RENEWED_MAX.as_secs() < LEASE.as_secs());

/// How often the Lease is read, and renewed by the leader: three tries fit into [`RENEWED_MAX`]. A leader that is
/// killed has a successor after this and [`LEASE`].
const EVERY: Duration = Duration::from_secs(2);

/// How long one request for the Lease may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Why a leader leads no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Somebody took the Lease, which happens only to a leader that was silent, or by hand.
    #[error("the Lease names {0:?} as the leader now")]
    Taken(String),
    /// The API server could not be told in time.
    #[error("the Lease could not be renewed for {} s", RENEWED_MAX.as_secs())]
    NotRenewed,
}

/// This process' part in the election.
pub struct Election {
    api: Api<Lease>,
    name: &'static str,
    subject: String,
    candidate: Candidate,
    /// What went wrong last, so that it is told once.
    trouble: Option<String>,
}

impl Election {
    /// Takes part in the election by this Lease, under a name that must differ from everybody else's.
    pub fn new(client: Client, namespace: &str, name: &'static str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name,
            subject: format!("Lease {namespace}/{name}"),
            candidate: Candidate::new(identity),
            trouble: None,
        }
    }

    /// Returns once this process leads. Then [`Self::lead`] must be called without delay.
    pub async fn turn(&mut self) {
        self.candidate.stand_by();
        while self.candidate.leads_until().is_none() {
            let wait = self.round().await.unwrap_or(EVERY);
            if self.candidate.leads_until().is_none() {
                time::sleep(wait).await;
            }
        }
    }

    /// Renews the Lease for as long as that works; returns when this process must not act any more.
    pub async fn lead(&mut self) -> Lost {
        while let Some(end) = self.candidate.leads_until() {
            match time::timeout_at(end, self.round()).await {
                Ok(Ok(wait)) => time::sleep_until(end.min(Instant::now() + wait)).await,
                Ok(Err(lost)) => return lost,
                Err(_) => break,
            }
        }
        Lost::NotRenewed
    }

    /// Lets go of the Lease if it is held, so that nobody need wait for it. Call it when nothing is under way.
    pub async fn leave(mut self) {
        let Ok(Some(lease)) = self.read().await else {
            return;
        };
        self.candidate.saw(Some(lease), Instant::now());
        let Some(spec) = self.candidate.released() else {
            return;
        };
        match self.patch("let go of", &spec).await {
            Ok(_) => info!("let go of the lead"),
            Err(error) => warn!(
                error = telemetry::chain(&error),
                "the lead could not be given up; another operator takes over when the Lease has run out"
            ),
        }
    }

    /// Reads the Lease and does what follows; says how long to wait for the next.
    async fn round(&mut self) -> std::result::Result<Duration, Lost> {
        match self.read().await {
            Ok(lease) => self.candidate.saw(lease, Instant::now()),
            Err(error) => {
                self.tell(&error);
                return Ok(EVERY / 2);
            }
        }
        // A renewal counts from before it was sent: who sees it sees it later.
        let now = Instant::now();
        let written = match self.candidate.next(now) {
            Move::Wait(wait) => {
                self.trouble = None;
                return Ok(wait);
            }
            Move::Lose(lost) => return Err(lost),
            Move::Make => self.make().await,
            Move::Take => self.hold("take").await,
            Move::Renew => self.hold("renew").await,
        };
        match written {
            Ok(lease) => {
                self.trouble = None;
                self.candidate.wrote(lease, now);
                Ok(EVERY)
            }
            // Somebody else was faster: what they wrote is read at once.
            Err(error) if error.failure() == Failure::Conflict => Ok(EVERY / 4),
            Err(error) => {
                self.tell(&error);
                Ok(EVERY / 2)
            }
        }
    }

    async fn read(&self) -> Result<Option<Lease>> {
        let get = self.api.get_opt(self.name);
        request::within(ANSWER_MAX, "read", &self.subject, get).await
    }

    async fn make(&self) -> Result<Lease> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(self.candidate.held(Timestamp::now())),
        };
        let params = PostParams {
            field_manager: Some(self.name.to_owned()),
            ..PostParams::default()
        };
        let create = self.api.create(&params, &lease);
        request::within(ANSWER_MAX, "make", &self.subject, create).await
    }

    async fn hold(&self, operation: &'static str) -> Result<Lease> {
        let spec = self.candidate.held(Timestamp::now());
        self.patch(operation, &spec).await
    }

    async fn patch(&self, operation: &'static str, spec: &LeaseSpec) -> Result<Lease> {
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": self.candidate.version() },
            "spec": spec,
        }));
        let params = PatchParams {
            field_manager: Some(self.name.to_owned()),
            ..PatchParams::default()
        };
        let patch = self.api.patch(self.name, &params, &patch);
        request::within(ANSWER_MAX, operation, &self.subject, patch).await
    }

    /// Once for each trouble, and with what to do about it.
    fn tell(&mut self, error: &request::Error) {
        let chain = telemetry::chain(error);
        if self.trouble.as_ref() == Some(&chain) {
            return;
        }
        let advice = match error.failure() {
            // Only the namespace can be missing: a Lease that is not there is made.
            Failure::NotFound | Failure::Ending => {
                "is the namespace there? make it, or name another with --namespace"
            }
            Failure::Refused => {
                "does this account have the rights to get, create and patch Leases there?"
            }
            Failure::Conflict | Failure::Unreachable => "it is tried again",
        };
        warn!(error = chain, "taking part in the election fails: {advice}");
        self.trouble = Some(chain);
    }
}

#[cfg(test)]
mod tests;
