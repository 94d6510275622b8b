//! What to do about one guest on this node, and why. Pure; see `report` for how the result is told.
//!
//! ```text
//!             image, disk, seed          define            start
//!   nothing ───────────────────► files ─────────► off ◄──────────► running ◄──► paused
//!                                                  ▲ ▲                │
//!                                                  │ └── suspend ─────┘ (memory saved)
//!                                                  └── ask, then cut off after the grace
//! ```
//!
//! A guest that is deleted but not retired goes on as if nothing had happened: see `GuestSpec::retired`.

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
        driver::{DomainInfo, DomainState, PauseReason, StopReason},
        images::Presence,
        plan::domain::Mark,
    },
};

use super::action::{self, ActionPlan, Recent};

/// How long a guest must have run for its end not to count as another quick failure.
const STEADY: Duration = Duration::from_secs(5);

/// So many quick failures in a row are forgiven at once; after that, each waits twice as long as the one before.
const FORGIVEN: u32 = 3;

/// The longest wait between two starts of a guest that keeps failing.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// How often the power button is pressed again: a guest that is still booting does not hear it.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How soon to look again at what passes by itself and may not be announced.
const SOON: Duration = Duration::from_secs(1);

/// How soon to try again after storage refused to read or write.
const AFTER_IO_ERROR: Duration = Duration::from_secs(10);

/// Everything that was read for one decision.
#[derive(Debug)]
pub struct Observed {
    /// The guest's domain.
    pub domain: Sight,
    /// The mark that a domain made from the guest now would bear.
    pub wanted: Mark,
    /// What there is of its files.
    pub files: Files,
    /// What this process remembers of the guest.
    pub recent: Recent,
}

/// What is known of a domain. That it is absent and that nothing is known are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// There certainly is none.
    Absent,
    /// It is so.
    Present(DomainInfo),
    /// The hypervisor could not say, for this reason.
    Unknown(String),
}

/// What there is of a guest's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Whether the root disk is there.
    pub root_disk: bool,
    /// Whether the seed is there.
    pub seed: bool,
    /// Where the image stands; absent when nobody needs it, because the root disk is there.
    pub image: Option<Presence>,
    /// Whether the seed's documents are there to be written; absent when nobody needs them.
    pub documents: Option<bool>,
}

/// What to do, and what the guest waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// In this order; stop at the first that fails.
    pub steps: Vec<Step>,
    /// What it waits for once the steps are done.
    pub waiting: Waiting,
    /// When to look again although nothing has been announced.
    pub again: Option<Duration>,
    /// What becomes of an action that is not on record as ended.
    pub action: Option<ActionPlan>,
}

/// One thing to do. Each is safe to do twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the root disk over its image.
    MakeDisk,
    /// Write the seed.
    WriteSeed,
    /// Make the domain's definition what it should be.
    Define,
    /// Start the domain, from saved memory if there is some.
    Start,
    /// Start the domain again after it had ended by itself.
    Restart,
    /// Press the power button.
    AskShutdown,
    /// Cut the domain off.
    Destroy,
    /// Stop its processors.
    Pause,
    /// Let its processors go on.
    Resume,
    /// Save its memory and end it.
    Suspend,
    /// Press the reset button.
    Reset,
    /// Send a non-maskable interrupt.
    Nmi,
    /// Throw saved memory away.
    DiscardSaved,
    /// Remove the domain's definition.
    Undefine,
    /// Remove every file of the guest.
    RemoveFiles,
    /// Let go of the guest: nothing of it is left.
    Release,
}

/// What a guest waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing: it is as asked.
    Nothing,
    /// The hypervisor to answer.
    Hypervisor(String),
    /// Its image.
    Image(Presence),
    /// An image that fits: this one is larger than the disk.
    SmallerImage {
        /// Size of the disk that the image describes.
        virtual_size: Size,
        /// Size of the guest's disk.
        disk: Size,
    },
    /// Its seed Secret.
    Seed,
    /// The guest to power off.
    PowerOff,
    /// The hypervisor to finish what it is doing.
    Transition,
    /// The end of a pause before it is started again: it failed too often.
    Backoff(Duration),
    /// Its owner: it ended by itself and is not started again.
    Owner(StopReason),
    /// Its storage, which refuses to read or write.
    Storage,
    /// An administrator: a domain of somebody else has its UUID.
    Foreign,
    /// The operator to hear that it is gone.
    Farewell,
}

/// What to do about the guest.
pub fn decide(guest: &Guest, observed: &Observed, now: Timestamp) -> Decision {
    let domain = match &observed.domain {
        Sight::Unknown(why) => return wait(Waiting::Hypervisor(why.clone())),
        Sight::Present(domain) if !domain.is_ours() => return wait(Waiting::Foreign),
        Sight::Present(domain) => Some(domain),
        Sight::Absent => None,
    };
    if guest.spec.retired && guest.metadata.deletion_timestamp.is_some() {
        return remove(domain);
    }
    if let Some(plan) = action::plan(guest, domain, &observed.recent, now) {
        return plan;
    }
    let domain = domain.filter(|domain| !outdated(guest, domain));
    let stale = matches!(&observed.domain, Sight::Present(old) if domain.is_none() && old.state.is_active());
    let mut decision = match domain {
        Some(domain) if domain.state.is_active() => active(guest, domain, now),
        Some(_) | None => off(guest, domain, observed, now),
    };
    if stale {
        decision.steps.insert(0, Step::Destroy);
    }
    decision
}

/// Whether the domain was started under a binding that has ended since.
fn outdated(guest: &Guest, domain: &DomainInfo) -> bool {
    domain
        .running_mark
        .as_ref()
        .is_some_and(|mark| mark.epoch < guest.spec.epoch)
}

/// Nothing of the guest may be left.
fn remove(domain: Option<&DomainInfo>) -> Decision {
    let mut steps = Vec::new();
    if domain.is_some_and(|domain| domain.state.is_active()) {
        steps.push(Step::Destroy);
    }
    if domain.is_some() {
        steps.push(Step::Undefine);
    }
    steps.extend([Step::RemoveFiles, Step::Release]);
    Decision {
        steps,
        ..wait(Waiting::Farewell)
    }
}

/// The domain has a process.
fn active(guest: &Guest, domain: &DomainInfo, now: Timestamp) -> Decision {
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
        (PowerState::Stopped, state) => stop(guest, state, now),
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
fn stop(guest: &Guest, state: DomainState, now: Timestamp) -> Decision {
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
    let steps = wake.into_iter().chain([Step::AskShutdown]).collect();
    let left = grace.saturating_sub(asked_for);
    Decision {
        steps,
        ..later(
            Waiting::PowerOff,
            ASK_AGAIN.min(left).max(Duration::from_millis(50)),
        )
    }
}

/// The domain has no process, or is not there at all.
fn off(
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

/// Time that has passed; none if the clock was set back.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(since)
        .try_into()
        .unwrap_or(Duration::ZERO)
}

pub(super) fn act(steps: Vec<Step>) -> Decision {
    Decision {
        steps,
        ..wait(Waiting::Nothing)
    }
}

pub(super) fn wait(waiting: Waiting) -> Decision {
    Decision {
        steps: Vec::new(),
        waiting,
        again: None,
        action: None,
    }
}

pub(super) fn later(waiting: Waiting, again: Duration) -> Decision {
    Decision {
        again: Some(again),
        ..wait(waiting)
    }
}
