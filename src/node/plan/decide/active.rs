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

/// How soon to try again after storage refused to read or write.
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
            DomainState::ShuttingDown
            // `active` is asked of domains with a process only.
            | DomainState::Shutoff(_)
            | DomainState::Paused(
                PauseReason::StartingUp | PauseReason::Saving | PauseReason::Migrating,
            ),
        ) => later(Waiting::Transition, SOON),
        (_, DomainState::Paused(PauseReason::Crashed)) => Decision {
            steps: vec![Step::Destroy],
            ..later(Waiting::Transition, SOON)
        },
        (PowerState::Stopped, state) => stop(guest, state, recent, now),
        (PowerState::Running, DomainState::Paused(PauseReason::IoError)) => Decision {
            steps: vec![Step::Resume],
            ..later(Waiting::Storage, AFTER_IO_ERROR)
        },
        (PowerState::Running, DomainState::Paused(PauseReason::User | PauseReason::Other)) => {
            act(vec![Step::Resume])
        }
        (PowerState::Paused, DomainState::Running) => act(vec![Step::Pause]),
        (PowerState::Suspended, DomainState::Running | DomainState::Paused(_)) => {
            act(vec![Step::Suspend])
        }
        (PowerState::Running, DomainState::Running)
        | (PowerState::Paused, DomainState::Paused(_)) => act(Vec::new()),
    }
}

/// Asks the guest to power off, and cuts it off when it has not done so in time.
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
    let wake = matches!(state, DomainState::Paused(_)).then_some(Step::Resume);
    let steps = wake.into_iter().chain(press(recent, now)).collect();
    let left = grace.saturating_sub(asked_for);
    Decision {
        steps,
        ..later(
            Waiting::PowerOff,
            ASK_AGAIN.min(left).max(Duration::from_millis(50)),
        )
    }
}
