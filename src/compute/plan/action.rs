//! What to do about one `ServerAction`: hand it to the node once, record how it ended, let it expire.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::api::{
    condition::{self, Fact, whole_seconds},
    guest::{ActionRecord, Guest, GuestAction},
    server::Server,
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
    /// It ended, and is kept until then.
    Keep(Duration),
    /// It ended long ago: delete the record.
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

/// What to do about the action.
pub fn decide(action: &ServerAction, observed: &Observed<'_>, now: Timestamp) -> Decision {
    if let Some(finished) = finished(action) {
        let until = finished
            .0
            .saturating_add(ttl(action))
            .unwrap_or(Timestamp::MAX);
        let left = until.duration_since(now);
        return if left.is_positive() {
            Decision::Keep(left.unsigned_abs())
        } else {
            Decision::Expire
        };
    }
    let name = &action.spec.server;
    let Some(verb) = action.spec.verb() else {
        return failed("an action has exactly one verb: reboot, reset or nmi", now);
    };
    let Some(server) = observed.server else {
        return failed(format!("there is no server {name:?} in this project"), now);
    };
    if server.metadata.deletion_timestamp.is_some() {
        return failed(format!("server {name:?} is being deleted"), now);
    }
    let Some(guest) = observed.guest else {
        return failed(
            format!("server {name:?} has not been built yet: wait until it is Ready"),
            now,
        );
    };
    let id = action.uid().unwrap_or_default();
    if let Some(record) = record(guest, &id) {
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
    if guest.spec.action.as_ref().is_some_and(|told| told.id == id) {
        return pending("the hypervisor has been told".to_owned());
    }
    Decision::Hand(GuestAction { id, verb })
}

/// The status that goes with the decision, if it says anything new.
pub fn report(
    action: &ServerAction,
    decision: &Decision,
    now: Timestamp,
) -> Option<ServerActionStatus> {
    let handed = Standing {
        state: ActionState::Pending,
        started_at: None,
        finished_at: None,
        message: "the hypervisor has been told".to_owned(),
    };
    let standing = match decision {
        Decision::Hand(_) => &handed,
        Decision::Watch(standing) => standing,
        Decision::Keep(_) | Decision::Expire => return None,
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
    Some(ServerActionStatus {
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
    })
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
