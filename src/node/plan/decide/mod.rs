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

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use crate::{
    api::{guest::Guest, value::Size},
    node::{
        driver::{DomainInfo, PortId, StopReason},
        images::Presence,
        plan::domain::Mark,
    },
};

use super::action::{self, ActionPlan, Recent};

pub use nics::{UNPLUG_AGAIN, wanted};
pub use off::{has_run, is_quick};

mod active;
mod nics;
mod off;
#[cfg(test)]
mod tests;

/// How often the power button is pressed again: a guest that is still booting does not hear it.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How soon to look again at what passes by itself and may not be announced.
const SOON: Duration = Duration::from_secs(1);

/// Everything that was read for one decision.
#[derive(Debug)]
pub struct Observed {
    /// The guest's domain.
    pub domain: Sight,
    /// The mark that a domain made from the guest now would bear, or why none can be made.
    pub wanted: Result<Mark, String>,
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
    /// Where the root disk is, or would be.
    pub path: PathBuf,
    /// Whether the root disk is there.
    pub root_disk: Found,
    /// Whether the seed is there.
    pub seed: Found,
    /// Where the image stands; absent when nobody needs to fetch it.
    pub image: Option<Presence>,
    /// Whether the seed's documents are there to be written.
    pub documents: Papers,
}

/// Whether a file is there. That it is absent and that nothing is known are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is.
    Yes,
    /// It certainly is not.
    No,
    /// The file system could not say, for this reason.
    Unknown(String),
}

/// What there is of a seed's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Papers {
    /// Nobody needs them now.
    Unneeded,
    /// They were read.
    There,
    /// Their Secret is not there yet.
    Absent,
    /// Their Secret may not be read.
    Forbidden,
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
    /// Let its processors go on after its storage had failed.
    Revive,
    /// Save its memory and end it.
    Suspend,
    /// Press the reset button.
    Reset,
    /// Send a non-maskable interrupt.
    Nmi,
    /// Plug the NIC of this port in.
    Plug(PortId),
    /// Plug the NIC of this port out.
    Unplug(PortId),
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
    /// An administrator: the agent may not read its seed Secret.
    ForbiddenSeed,
    /// An administrator: the root disk of a guest that has run is gone from here.
    LostDisk(PathBuf),
    /// The file system to say what there is.
    Files(String),
    /// An agent that can write its definition; this one cannot, for this reason.
    Definition(String),
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
        Some(domain) if domain.state.is_active() => {
            let decision = active::active(guest, domain, &observed.recent, now);
            nics::with_nics(decision, guest, domain, &observed.recent, now)
        }
        Some(_) | None => off::off(guest, domain, observed, now),
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

/// A press of the power button, unless it was pressed a moment ago: whatever triggers a run must not press it twice.
pub(super) fn press(recent: &Recent, now: Timestamp) -> Option<Step> {
    let since = recent
        .asked_at
        .map_or(Duration::MAX, |asked| elapsed(asked, now));
    (since >= ASK_AGAIN).then_some(Step::AskShutdown)
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
