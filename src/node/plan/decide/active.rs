//! What to do about a guest whose domain has a process.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    api::{guest::Guest, server::PowerState},
    node::{
        driver::{DomainInfo, DomainState, PauseReason},
        plan::action::Recent,
    },
};

use super::{ASK_AGAIN, Decision, SOON, Step, Waiting, act, elapsed, later, press};

/// How long after storage refused to read or write the guest is tried again; and how long it must have run then to be
/// believed. A guest that stops again at once, since the disk is still full, must not make a hot loop.
const AFTER_IO_ERROR: Duration = Duration::from_secs(10);

/// The domain has a process.
pub(super) fn active(
    guest: &Guest,
    domain: &DomainInfo,
    recent: &Recent,
    now: Timestamp,
) -> Decision {
    match (guest.spec.power, domain.state) {
        (
            _,
            // `active` is asked of domains with a process only.
            DomainState::Shutoff(_)
            | DomainState::Paused(
                PauseReason::StartingUp | PauseReason::Saving | PauseReason::Migrating,
            ),
        )
        | (
            PowerState::Running | PowerState::Paused | PowerState::Suspended,
            DomainState::ShuttingDown,
        ) => later(Waiting::Transition, SOON),
        (_, DomainState::Paused(PauseReason::Crashed)) => Decision {
            steps: vec![Step::Destroy],
            ..later(Waiting::Transition, SOON)
        },
        (PowerState::Stopped, state) => stop(guest, state, recent, now),
        (PowerState::Running, DomainState::Paused(PauseReason::IoError)) => {
            let left = proving(recent, now);
            Decision {
                steps: revive(left).into_iter().collect(),
                ..later(Waiting::Storage, left.unwrap_or(AFTER_IO_ERROR))
            }
        }
        (PowerState::Running, DomainState::Paused(PauseReason::User | PauseReason::Other)) => {
            act(vec![Step::Resume])
        }
        (PowerState::Paused, DomainState::Running) => act(vec![Step::Pause]),
        (PowerState::Suspended, DomainState::Running | DomainState::Paused(_)) => {
            act(vec![Step::Suspend])
        }
        (PowerState::Running, DomainState::Running) => proving(recent, now)
            .map_or_else(|| act(Vec::new()), |left| later(Waiting::Storage, left)),
        (PowerState::Paused, DomainState::Paused(_)) => act(Vec::new()),
    }
}

/// How long it still takes until a guest that was let go on after its storage failed is believed, or tried again.
fn proving(recent: &Recent, now: Timestamp) -> Option<Duration> {
    let since = elapsed(recent.revived_at?, now);
    let left = AFTER_IO_ERROR.saturating_sub(since);
    (!left.is_zero()).then_some(left)
}

/// Lets the guest go on, unless that was tried a moment ago.
fn revive(left: Option<Duration>) -> Option<Step> {
    left.is_none().then_some(Step::Revive)
}

/// Asks the guest to power off, and cuts it off when it has not done so in time. One that powers off already needs no
/// button, but may never come to its end.
fn stop(guest: &Guest, state: DomainState, recent: &Recent, now: Timestamp) -> Decision {
    let grace = Duration::from_secs(guest.spec.shutdown_grace_seconds.into());
    let since = guest
        .status
        .as_ref()
        .and_then(|status| status.stopping_since.as_ref());
    let asked_for = since.map_or(Duration::ZERO, |since| elapsed(since.0, now));
    if asked_for >= grace {
        return act(vec![Step::Destroy]);
    }
    // A guest that stands still hears nothing.
    let (wake, ask) = match state {
        DomainState::Paused(PauseReason::IoError) => {
            (revive(proving(recent, now)), press(recent, now))
        }
        DomainState::Paused(_) => (Some(Step::Resume), press(recent, now)),
        DomainState::Running => (None, press(recent, now)),
        DomainState::ShuttingDown | DomainState::Shutoff(_) => (None, None),
    };
    let steps = wake.into_iter().chain(ask).collect();
    let left = grace.saturating_sub(asked_for);
    Decision {
        steps,
        ..later(
            Waiting::PowerOff,
            ASK_AGAIN.min(left).max(Duration::from_millis(50)),
        )
    }
}
