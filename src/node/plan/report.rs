//! How a guest stands, as its status tells it, from what was seen after the steps were tried.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        condition::{self, Fact, Truth, whole_seconds},
        guest::{ActionRecord, Guest, GuestStatus},
        server::PowerState,
    },
    node::{
        driver::{DomainState, StopReason},
        images::Presence,
    },
};

use super::decide::{Decision, Files, Sight, Step, Waiting};
use super::guard::Guarded;

mod network;
mod storage;
#[cfg(test)]
mod tests;

use network::{network, nics};
use storage::storage;

/// How far the steps came.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The steps that were done.
    pub done: Vec<Step>,
    /// The one that failed, if one did.
    pub failure: Option<StepFailure>,
    /// What is wrong with the host's switch, of a guest that has NICs.
    pub switch: Option<String>,
    /// Which ports of guests the host's switch keeps from playing router.
    pub guarded: Guarded,
}

/// A step that failed.
#[derive(Clone, Debug)]
pub struct StepFailure {
    /// Which one.
    pub step: Step,
    /// Who failed.
    pub part: Part,
    /// Whether trying again will not help.
    pub hopeless: bool,
    /// What happened, with all its causes.
    pub message: String,
}

/// Who can fail at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// libvirt, or QEMU below it.
    Hypervisor,
    /// The file system, or what makes disks.
    Disk,
    /// The API server.
    Cluster,
}

impl Part {
    fn reason(self) -> &'static str {
        match self {
            Self::Hypervisor => "HypervisorFailed",
            Self::Disk => "DiskFailed",
            Self::Cluster => "ClusterFailed",
        }
    }
}

/// The guest's whole status.
///
/// Guarantee: equal input makes an equal status, whatever the time; what did not change keeps its time.
pub fn report(
    guest: &Guest,
    files: &Files,
    decision: &Decision,
    progress: &Progress,
    after: &Sight,
    action: Option<ActionRecord>,
    now: Timestamp,
) -> GuestStatus {
    let before = guest.status.clone().unwrap_or_default();
    let did = |step| progress.done.contains(&step);
    let power = power(decision, after, &before);
    let started = did(Step::Start) || did(Step::Restart);
    let stopping = matches!(power, Some(PowerState::Running | PowerState::Paused));
    let time = || Some(Time(whole_seconds(now)));
    let facts = facts(guest, files, decision, progress, after, power);
    GuestStatus {
        power,
        started_at: if started { time() } else { before.started_at },
        stopping_since: match (&decision.waiting, guest.spec.power) {
            (Waiting::PowerOff, _) if stopping => before.stopping_since.or_else(time),
            // Whatever it waits for meanwhile, its grace goes on.
            (_, PowerState::Stopped) if stopping => before.stopping_since,
            (_, _) => None,
        },
        restarts: Some(before.restarts.unwrap_or(0) + i64::from(did(Step::Restart))),
        nics: nics(after, &before.nics),
        action: action.or(before.action),
        observed_generation: guest.metadata.generation,
        conditions: condition::merge(&before.conditions, facts, guest.metadata.generation, now),
    }
}

/// What the guest does. While the hypervisor cannot say, what it said last counts: the guest most likely does that.
/// One that was let go on after its storage failed counts as still until it has proved itself, so that a full disk does
/// not make it seem to run again every few seconds.
fn power(decision: &Decision, after: &Sight, before: &GuestStatus) -> Option<PowerState> {
    match after {
        Sight::Unknown(_) => before.power,
        Sight::Absent => None,
        Sight::Present(domain) => Some(match domain.state {
            DomainState::Running if decision.waiting == Waiting::Storage => PowerState::Paused,
            DomainState::Running | DomainState::ShuttingDown => PowerState::Running,
            DomainState::Paused(_) => PowerState::Paused,
            DomainState::Shutoff(_) if domain.has_managed_save => PowerState::Suspended,
            DomainState::Shutoff(_) => PowerState::Stopped,
        }),
    }
}

/// Every condition of a guest, always.
fn facts(
    guest: &Guest,
    files: &Files,
    decision: &Decision,
    progress: &Progress,
    after: &Sight,
    power: Option<PowerState>,
) -> Vec<Fact> {
    let storage = storage(guest, files, decision, progress);
    let network = network(guest, progress, after);
    let running = running(decision, progress, after, power);
    let stalled = stalled(&storage, decision, progress, after);
    let trouble = stalled.as_ref().map_or_else(
        || failed(progress, after),
        |stalled| {
            Some(Fact::no(
                "Ready",
                stalled.reason.clone(),
                stalled.message.clone(),
            ))
        },
    );
    let ready =
        trouble.unwrap_or_else(|| ready(guest, decision, power, &storage, &network, &running));
    let stalled = stalled.unwrap_or_else(|| Fact::no("Stalled", "Progressing", ""));
    vec![ready, storage, network, running, stalled]
}

fn running(
    decision: &Decision,
    progress: &Progress,
    after: &Sight,
    power: Option<PowerState>,
) -> Fact {
    if let Sight::Unknown(why) = after {
        return Fact::unknown("Running", "HypervisorSilent", why.clone());
    }
    let off = |reason: &'static str, message: &str| Fact::no("Running", reason, message.to_owned());
    // That it had ended by itself must not be forgotten because its first new start failed.
    let restarting = progress
        .failure
        .as_ref()
        .is_some_and(|failure| failure.step == Step::Restart);
    match (&decision.waiting, power) {
        (_, Some(PowerState::Running)) => Fact::yes("Running", "Running", "the guest runs"),
        (Waiting::Storage, _) => off(
            "StorageFailed",
            "the guest stands still: its disk refuses to read or write; is the node's disk full?",
        ),
        (_, _) if restarting => off(
            "RestartBackoff",
            "the guest ended by itself and could not be started again yet: it is tried again",
        ),
        (Waiting::Owner(why), _) => Fact::no("Running", "Ended", ended(*why)),
        (Waiting::Backoff(_), _) => off(
            "RestartBackoff",
            "the guest keeps failing: it is started again after a pause; its console log tells more",
        ),
        (_, Some(PowerState::Paused)) => off("Paused", "the guest stands still, in memory"),
        (_, Some(PowerState::Suspended)) => off("Suspended", "the guest's memory is saved to disk"),
        (_, Some(PowerState::Stopped)) => off("Off", "the guest is off"),
        (_, None) => off("NotBuilt", "there is no domain yet"),
    }
}

fn ended(why: StopReason) -> String {
    let how = match why {
        StopReason::Shutdown => "the guest powered itself off",
        StopReason::Destroyed => "somebody cut the guest off on the node",
        StopReason::Crashed => "the guest crashed, or its QEMU was killed",
        StopReason::Failed => "the hypervisor gave the guest up",
        StopReason::Saved | StopReason::Migrated | StopReason::Unknown => {
            "the guest ended, and the hypervisor does not know why"
        }
    };
    format!(
        "{how}, and spec.restartPolicy leaves it so: set spec.powerState to Stopped and back to Running to start it"
    )
}

/// Why somebody must act, if somebody must.
fn stalled(
    storage: &Fact,
    decision: &Decision,
    progress: &Progress,
    after: &Sight,
) -> Option<Fact> {
    let yes = |fact: &Fact| {
        Some(Fact::yes(
            "Stalled",
            fact.reason.clone(),
            fact.message.clone(),
        ))
    };
    match (&decision.waiting, &progress.failure) {
        (
            Waiting::Image(Presence::Refused { .. })
            | Waiting::SmallerImage { .. }
            | Waiting::LostDisk(_)
            | Waiting::ForbiddenSeed,
            _,
        ) => yes(storage),
        (Waiting::Definition(why), _) => {
            let message = format!(
                "the domain cannot be defined: {why}: this is a mistake of the agent; please report it"
            );
            Some(Fact::yes("Stalled", "NoDefinition", message))
        }
        (Waiting::Foreign, _) => {
            let message = "a domain that is not Kilonova's has this server's UUID on the node: it is left alone; remove it there";
            Some(Fact::yes("Stalled", "ForeignDomain", message))
        }
        (_, Some(failure)) if failure.hopeless => {
            let message = explained(failure, progress, after);
            Some(Fact::yes("Stalled", failure.part.reason(), message))
        }
        (_, Some(_) | None) => None,
    }
}

/// What went wrong, and the way out where there is one that is not plain.
fn explained(failure: &StepFailure, progress: &Progress, after: &Sight) -> String {
    let saved = matches!(after, Sight::Present(domain) if domain.has_managed_save);
    let message = &failure.message;
    match failure.step {
        Step::Start | Step::Restart if saved => format!(
            "{message}; its saved memory could not be taken up again: to boot without it, set spec.powerState to Stopped, which throws it away, and then to Running"
        ),
        Step::Start | Step::Restart | Step::Plug(_) => match &progress.switch {
            Some(trouble) => format!("{message}; the guest has NICs, and {trouble}"),
            None => message.clone(),
        },
        _ => message.clone(),
    }
}

/// That a step failed and is tried again.
fn failed(progress: &Progress, after: &Sight) -> Option<Fact> {
    let failure = progress.failure.as_ref()?;
    let message = format!("{}; it is tried again", explained(failure, progress, after));
    Some(Fact::no("Ready", failure.part.reason(), message))
}

fn ready(
    guest: &Guest,
    decision: &Decision,
    power: Option<PowerState>,
    storage: &Fact,
    network: &Fact,
    running: &Fact,
) -> Fact {
    let because = |fact: &Fact| Fact {
        kind: "Ready",
        ..fact.clone()
    };
    let no = |reason: &'static str, message: &str| Fact::no("Ready", reason, message.to_owned());
    match &decision.waiting {
        Waiting::Hypervisor(why) => Fact::unknown("Ready", "HypervisorSilent", why.clone()),
        Waiting::Image(_)
        | Waiting::Seed
        | Waiting::ForbiddenSeed
        | Waiting::SmallerImage { .. }
        | Waiting::LostDisk(_)
        | Waiting::Files(_)
        | Waiting::Foreign => because(storage),
        Waiting::Definition(why) => no("NoDefinition", why),
        Waiting::Backoff(_) | Waiting::Owner(_) | Waiting::Storage => because(running),
        Waiting::PowerOff if power == Some(PowerState::Stopped) => {
            Fact::yes("Ready", "AsAsked", "the guest is off")
        }
        Waiting::PowerOff => no("Stopping", "the guest was asked to power off"),
        Waiting::Transition => no("Progressing", "the hypervisor is at it"),
        Waiting::Farewell => no("Deleting", "it is being removed from the node"),
        Waiting::Nothing if network.truth == Truth::False => because(network),
        Waiting::Nothing => match (guest.spec.power, power) {
            (PowerState::Running, Some(PowerState::Running)) => {
                Fact::yes("Ready", "AsAsked", "the guest runs")
            }
            (PowerState::Stopped, Some(PowerState::Stopped)) => {
                Fact::yes("Ready", "AsAsked", "the guest is off")
            }
            (PowerState::Paused, Some(PowerState::Paused)) => {
                Fact::yes("Ready", "AsAsked", "the guest stands still")
            }
            (PowerState::Suspended, Some(PowerState::Suspended)) => {
                Fact::yes("Ready", "AsAsked", "the guest's memory is saved")
            }
            (PowerState::Suspended, Some(PowerState::Stopped)) => Fact::yes(
                "Ready",
                "AsAsked",
                "the guest was off, so there is no memory to save: it stays off",
            ),
            (_, _) => no("Progressing", "the hypervisor is at it"),
        },
    }
}
