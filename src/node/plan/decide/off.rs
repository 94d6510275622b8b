//! What to do about a guest whose domain has no process, or is not there at all.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    api::{
        condition,
        guest::{Guest, GuestStatus},
        server::{PowerState, RestartPolicy},
        value::Size,
    },
    node::{
        driver::{DomainInfo, DomainState, StopReason},
        images::Presence,
        plan::action::Recent,
    },
};

use super::{Decision, Files, Observed, SOON, Step, Waiting, act, elapsed, later, wait};

/// How long a guest must have run for its end not to count as another quick failure.
const STEADY: Duration = Duration::from_secs(5);

/// So many quick failures in a row are forgiven at once; after that, each waits twice as long as the one before.
const FORGIVEN: u32 = 3;

/// The longest wait between two starts of a guest that keeps failing.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// The domain has no process, or is not there at all.
pub(super) fn off(
    guest: &Guest,
    domain: Option<&DomainInfo>,
    observed: &Observed,
    now: Timestamp,
) -> Decision {
    let mut steps = match files(guest, &observed.files) {
        Ok(steps) => steps,
        Err(waiting) => return *waiting,
    };
    // Saved memory fits the definition that it was saved under, and no other.
    let saved = domain.is_some_and(|domain| domain.has_managed_save);
    let current = domain.and_then(|domain| domain.mark.as_ref()) == Some(&observed.wanted);
    let renew = (!current && !saved).then_some(Step::Define);
    steps.extend(renew);
    match guest.spec.power {
        PowerState::Stopped => {
            steps.extend(saved.then_some(Step::DiscardSaved));
            act(steps)
        }
        // What is off has no memory that could be saved: it stays off.
        PowerState::Suspended => act(steps),
        PowerState::Paused => {
            steps.extend([Step::Start, Step::Pause]);
            act(steps)
        }
        PowerState::Running => {
            let start = match ended(guest, domain) {
                Some(why) if !again(guest.spec.restart_policy, why) => {
                    return Decision {
                        steps,
                        ..wait(Waiting::Owner(why))
                    };
                }
                Some(_) => Step::Restart,
                None => Step::Start,
            };
            begin(start, steps, &observed.recent, now)
        }
    }
}

/// What is missing of the guest's files and can be made, or what it waits for.
fn files(guest: &Guest, files: &Files) -> Result<Vec<Step>, Box<Decision>> {
    let mut steps = Vec::new();
    if !files.root_disk {
        match &files.image {
            Some(Presence::Ready { virtual_size, .. }) => {
                let (virtual_size, disk) = (Size::bytes(*virtual_size), guest.spec.root_disk.size);
                if virtual_size > disk {
                    return Err(Box::new(wait(Waiting::SmallerImage { virtual_size, disk })));
                }
                steps.push(Step::MakeDisk);
            }
            Some(presence) => return Err(Box::new(until(presence))),
            None => return Err(Box::new(later(Waiting::Transition, SOON))),
        }
    }
    if !files.seed {
        if files.documents != Some(true) {
            return Err(Box::new(later(Waiting::Seed, SOON)));
        }
        steps.push(Step::WriteSeed);
    }
    Ok(steps)
}

fn until(presence: &Presence) -> Decision {
    let again = match presence {
        Presence::Failed { retry_after, .. } => Some(*retry_after),
        Presence::Refused { retry_after, .. } => *retry_after,
        Presence::Downloading { .. } | Presence::Ready { .. } => None,
    };
    Decision {
        again,
        ..wait(Waiting::Image(presence.clone()))
    }
}

/// Why the guest ended, if it ran when it was last reported and nobody asked it to end.
fn ended(guest: &Guest, domain: Option<&DomainInfo>) -> Option<StopReason> {
    let status = guest.status.as_ref()?;
    let ran = matches!(status.power, Some(PowerState::Running | PowerState::Paused));
    if !ran && !rests(guest, status) {
        return None;
    }
    match domain?.state {
        DomainState::Shutoff(why) => (why != StopReason::Saved).then_some(why),
        DomainState::Running | DomainState::Paused(_) | DomainState::ShuttingDown => None,
    }
}

/// Whether it was reported as ended, for good or for a pause, and its owner has not asked for anything since.
fn rests(guest: &Guest, status: &GuestStatus) -> bool {
    status.observed_generation == guest.metadata.generation
        && condition::find(&status.conditions, "Running")
            .is_some_and(|running| ["Ended", "RestartBackoff"].contains(&&*running.reason))
}

/// Whether a guest that ended by itself is started again.
fn again(policy: RestartPolicy, why: StopReason) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => why != StopReason::Shutdown,
        RestartPolicy::Never => false,
    }
}

/// Starts the guest, unless it has just failed too often.
fn begin(start: Step, mut steps: Vec<Step>, recent: &Recent, now: Timestamp) -> Decision {
    let since = recent
        .ended_at
        .map_or(Duration::MAX, |ended| elapsed(ended, now));
    let left = backoff(recent.failures).saturating_sub(since);
    if !left.is_zero() {
        return Decision {
            steps,
            ..later(Waiting::Backoff(left), left)
        };
    }
    steps.push(start);
    act(steps)
}

/// How long a guest that failed quickly so often in a row waits before it is started again.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FORGIVEN);
    match doublings {
        0 => Duration::ZERO,
        n => Duration::from_secs(1_u64 << (n - 1).min(16)).min(BACKOFF_MAX),
    }
}

/// Whether a guest that ran for so long has failed quickly.
pub fn is_quick(ran: Duration) -> bool {
    ran < STEADY
}
