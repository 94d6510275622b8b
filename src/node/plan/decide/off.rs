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

use super::{
    Decision, Files, Found, Observed, Papers, SOON, Step, Waiting, act, elapsed, later, wait,
};

/// How long a guest must have run for its end not to count as another quick failure.
const STEADY: Duration = Duration::from_secs(5);

/// So many quick failures in a row are forgiven at once; after that, each waits twice as long as the one before.
const FORGIVEN: u32 = 3;

/// The longest wait between two starts of a guest that keeps failing.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// How soon to look again at what an administrator mends and nothing announces.
const NOT_ANNOUNCED: Duration = Duration::from_secs(10);

/// The domain has no process, or is not there at all.
pub(super) fn off(
    guest: &Guest,
    domain: Option<&DomainInfo>,
    observed: &Observed,
    now: Timestamp,
) -> Decision {
    let recent = &observed.recent;
    let mut steps = match files(guest, &observed.files) {
        Ok(steps) => steps,
        Err(waiting) => return *waiting,
    };
    let wanted = match &observed.wanted {
        Ok(wanted) => wanted,
        Err(why) => return wait(Waiting::Definition(why.clone())),
    };
    // Saved memory fits the definition that it was saved under, and no other.
    let saved = domain.is_some_and(|domain| domain.has_managed_save);
    let current = domain.and_then(|domain| domain.mark.as_ref()) == Some(wanted);
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
            if let Some(presence) = unfit(&observed.files) {
                return until(steps, presence);
            }
            steps.extend([Step::Start, Step::Pause]);
            act(steps)
        }
        PowerState::Running => {
            let start = match ended(guest, domain).filter(|why| !asked_for(guest, *why, recent)) {
                Some(why) if !again(guest.spec.restart_policy, why) => {
                    return Decision {
                        steps,
                        ..wait(Waiting::Owner(why))
                    };
                }
                Some(_) => Step::Restart,
                None => Step::Start,
            };
            match unfit(&observed.files) {
                Some(presence) => until(steps, presence),
                None => begin(start, steps, recent, now),
            }
        }
    }
}

/// What is missing of the guest's files and can be made, or what it waits for.
fn files(guest: &Guest, files: &Files) -> Result<Vec<Step>, Box<Decision>> {
    let mut steps = Vec::new();
    match &files.root_disk {
        Found::Yes => {}
        Found::Unknown(why) => return Err(Box::new(unknown(why))),
        // What the guest has written was on it: an empty one would be the loss of it, told to nobody.
        Found::No if has_run(guest) => {
            let lost = Waiting::LostDisk(files.path.clone());
            return Err(Box::new(later(lost, NOT_ANNOUNCED)));
        }
        Found::No => steps.push(root_disk(guest, files)?),
    }
    match (&files.seed, files.documents) {
        (Found::Yes, _) => {}
        (Found::Unknown(why), _) => return Err(Box::new(unknown(why))),
        (Found::No, Papers::There) => steps.push(Step::WriteSeed),
        (Found::No, Papers::Forbidden) => {
            return Err(Box::new(later(Waiting::ForbiddenSeed, NOT_ANNOUNCED)));
        }
        (Found::No, Papers::Absent) => return Err(Box::new(later(Waiting::Seed, SOON))),
        (Found::No, Papers::Unneeded) => {
            let waiting = match unfit(files) {
                Some(presence) => until(steps, presence),
                None => later(Waiting::Seed, SOON),
            };
            return Err(Box::new(waiting));
        }
    }
    Ok(steps)
}

fn root_disk(guest: &Guest, files: &Files) -> Result<Step, Box<Decision>> {
    match &files.image {
        Some(Presence::Ready { virtual_size, .. }) => {
            let (virtual_size, disk) = (Size::bytes(*virtual_size), guest.spec.root_disk.size);
            if virtual_size > disk {
                return Err(Box::new(wait(Waiting::SmallerImage { virtual_size, disk })));
            }
            Ok(Step::MakeDisk)
        }
        Some(presence) => Err(Box::new(until(Vec::new(), presence))),
        None => Err(Box::new(later(Waiting::Transition, SOON))),
    }
}

/// Whether the guest was ever started: then there is something on its disk.
pub fn has_run(guest: &Guest) -> bool {
    let status = guest.status.as_ref();
    status.is_some_and(|status| status.started_at.is_some())
}

fn unknown(why: &str) -> Decision {
    later(Waiting::Files(why.to_owned()), NOT_ANNOUNCED)
}

/// Where the image stands, if no guest can stand on it: somebody emptied the cache below a disk that is there.
fn unfit(files: &Files) -> Option<&Presence> {
    files
        .image
        .as_ref()
        .filter(|presence| !matches!(presence, Presence::Ready { .. }))
}

/// Does the steps that need no image, and waits for it.
fn until(steps: Vec<Step>, presence: &Presence) -> Decision {
    let again = match presence {
        Presence::Failed { retry_after, .. } => Some(*retry_after),
        Presence::Refused { retry_after, .. } => *retry_after,
        Presence::Downloading { .. } | Presence::Ready { .. } => None,
    };
    Decision {
        steps,
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

/// Whether it powered off because we had pressed the button, for somebody who has thought better of it since: no restart
/// policy is meant for that.
fn asked_for(guest: &Guest, why: StopReason, recent: &Recent) -> bool {
    let (Some(asked), Some(ended)) = (recent.asked_at, recent.ended_at) else {
        return false;
    };
    let grace = Duration::from_secs(guest.spec.shutdown_grace_seconds.into());
    why == StopReason::Shutdown && asked <= ended && elapsed(asked, ended) <= grace
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
