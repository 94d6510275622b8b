//! What to do about one `ServerAction`: hand it to the node once, record how it ended, let it expire.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::api::{
    condition::{self, Fact, whole_seconds},
    guest::{ActionRecord, Guest, GuestAction},
    server::{PowerState, Server},
    server_action::{ActionState, ServerAction, ServerActionStatus},
};

/// How long the record of an action is kept when it does not say: 30 days.
const DEFAULT_TTL: Duration = Duration::from_hours(720);

/// Everything that was read for one decision.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The server that the action names.
    pub server: Option<&'a Server>,
    /// That server's guest.
    pub guest: Option<&'a Guest>,
    /// The name of an earlier action on the same server that has not ended.
    pub earlier: Option<String>,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// Give it to the node, and say that it is pending.
    Hand(GuestAction),
    /// Say how it stands; nothing to do.
    Watch(Standing),
}

/// What becomes of the record of an action that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It is kept for so long.
    Keep(Duration),
    /// It ended long ago: delete it.
    Expire,
}

/// How an action stands.
#[derive(Debug, PartialEq)]
pub struct Standing {
    /// Where it stands.
    pub state: ActionState,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// How it ended, or what it waits for.
    pub message: String,
}

/// What becomes of the record, if the action has ended.
pub fn history(action: &ServerAction, now: Timestamp) -> Option<History> {
    let finished = finished(action)?;
    let until = finished
        .0
        .saturating_add(ttl(action))
        .unwrap_or(Timestamp::MAX);
    let left = until.duration_since(now);
    Some(if left.is_positive() {
        History::Keep(left.unsigned_abs())
    } else {
        History::Expire
    })
}

/// What to do about an action that has not ended.
pub fn decide(action: &ServerAction, observed: &Observed<'_>, now: Timestamp) -> Decision {
    let name = &action.spec.server;
    let Some(verb) = action.spec.verb() else {
        return failed("an action has exactly one verb: reboot, reset or nmi", now);
    };
    let Some(server) = observed.server else {
        return failed(
            format!(
                "there is no server {name:?} in this project: `kubectl get servers` lists what there is"
            ),
            now,
        );
    };
    if server.metadata.deletion_timestamp.is_some() {
        return failed(format!("server {name:?} is being deleted"), now);
    }
    let id = action.uid().unwrap_or_default();
    if let Some(record) = observed.guest.and_then(|guest| record(guest, &id)) {
        return Decision::Watch(Standing {
            state: record.state,
            started_at: record.started_at.clone(),
            finished_at: record.finished_at.clone(),
            message: record.message.clone().unwrap_or_default(),
        });
    }
    if let Some(earlier) = &observed.earlier {
        return pending(format!(
            "waiting for action {earlier:?} on the same server to end"
        ));
    }
    let Some(guest) = observed.guest.filter(|guest| is_built(guest)) else {
        return pending(format!("waiting until server {name:?} is built and runs"));
    };
    if guest.spec.action.as_ref().is_some_and(|told| told.id == id) {
        return pending("the hypervisor has been told".to_owned());
    }
    Decision::Hand(GuestAction { id, verb })
}

/// The status that goes with the decision.
pub fn report(action: &ServerAction, decision: &Decision, now: Timestamp) -> ServerActionStatus {
    let handed = Standing {
        state: ActionState::Pending,
        started_at: None,
        finished_at: None,
        message: "the hypervisor has been told".to_owned(),
    };
    let standing = match decision {
        Decision::Hand(_) => &handed,
        Decision::Watch(standing) => standing,
    };
    let before = action.status.clone().unwrap_or_default();
    let message = standing.message.clone();
    let facts = match standing.state {
        ActionState::Pending => [
            Fact::no("Ready", "Pending", message.clone()),
            Fact::no("Stalled", "Pending", ""),
        ],
        ActionState::Running => [
            Fact::no("Ready", "Running", message.clone()),
            Fact::no("Stalled", "Running", ""),
        ],
        ActionState::Succeeded => [
            Fact::yes("Ready", "Succeeded", message.clone()),
            Fact::no("Stalled", "Succeeded", ""),
        ],
        ActionState::Failed => [
            Fact::no("Ready", "Failed", message.clone()),
            Fact::yes("Stalled", "Failed", message.clone()),
        ],
    };
    let ended = || standing.state.is_final().then(|| Time(whole_seconds(now)));
    ServerActionStatus {
        state: Some(standing.state),
        verb: action.spec.verb(),
        started_at: standing.started_at.clone(),
        finished_at: standing.finished_at.clone().or_else(ended),
        message: Some(message),
        observed_generation: action.metadata.generation,
        conditions: condition::merge(
            &before.conditions,
            facts.into(),
            action.metadata.generation,
            now,
        ),
    }
}

/// Whether the action has ended, as its own status says.
pub fn is_finished(action: &ServerAction) -> bool {
    action
        .status
        .as_ref()
        .and_then(|status| status.state)
        .is_some_and(ActionState::is_final)
}

fn finished(action: &ServerAction) -> Option<Time> {
    is_finished(action).then(|| action.status.as_ref()?.finished_at.clone())?
}

fn ttl(action: &ServerAction) -> SignedDuration {
    let ttl = action
        .spec
        .ttl_after_finished
        .map_or(DEFAULT_TTL, Into::into);
    SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX)
}

/// Whether the node has started the guest, or is not asked to: who makes a server and an action at once means the
/// server that runs.
fn is_built(guest: &Guest) -> bool {
    let started = guest
        .status
        .as_ref()
        .and_then(|status| status.started_at.as_ref());
    started.is_some() || guest.spec.power != PowerState::Running
}

fn record<'a>(guest: &'a Guest, id: &str) -> Option<&'a ActionRecord> {
    guest
        .status
        .as_ref()?
        .action
        .as_ref()
        .filter(|record| record.id == id)
}

fn failed(message: impl Into<String>, now: Timestamp) -> Decision {
    let finished_at = Some(Time(whole_seconds(now)));
    Decision::Watch(Standing {
        state: ActionState::Failed,
        started_at: None,
        finished_at,
        message: message.into(),
    })
}

fn pending(message: String) -> Decision {
    Decision::Watch(Standing {
        state: ActionState::Pending,
        started_at: None,
        finished_at: None,
        message,
    })
}

#[cfg(test)]
mod tests;
