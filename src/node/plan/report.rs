//! How a guest stands, as its status tells it, from what was seen after the steps were tried.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        condition::{self, Fact, whole_seconds},
        guest::{ActionRecord, Guest, GuestStatus},
        server::PowerState,
    },
    node::{
        driver::{DomainState, StopReason},
        images::Presence,
    },
};

use super::decide::{Decision, Sight, Step, Waiting};

/// How far the steps came.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The steps that were done.
    pub done: Vec<Step>,
    /// The one that failed, if one did.
    pub failure: Option<StepFailure>,
}

/// A step that failed.
#[derive(Clone, Debug)]
pub struct StepFailure {
    /// Which one.
    pub step: Step,
    /// Whether trying again may help.
    pub hopeless: bool,
    /// What happened, with all its causes.
    pub message: String,
}

/// The guest's whole status.
///
/// Guarantee: equal input makes an equal status, whatever the time; what did not change keeps its time.
pub fn report(
    guest: &Guest,
    decision: &Decision,
    progress: &Progress,
    after: &Sight,
    action: Option<ActionRecord>,
    now: Timestamp,
) -> GuestStatus {
    let before = guest.status.clone().unwrap_or_default();
    let did = |step| progress.done.contains(&step);
    let power = power(after, &before);
    let started = did(Step::Start) || did(Step::Restart);
    let stopping =
        matches!(decision.waiting, Waiting::PowerOff) && power != Some(PowerState::Stopped);
    let time = || Some(Time(whole_seconds(now)));
    let facts = facts(guest, decision, progress, after, power);
    GuestStatus {
        power,
        started_at: if started { time() } else { before.started_at },
        stopping_since: if stopping {
            before.stopping_since.or_else(time)
        } else {
            None
        },
        restarts: Some(before.restarts.unwrap_or(0) + i64::from(did(Step::Restart))),
        action: action.or(before.action),
        observed_generation: guest.metadata.generation,
        conditions: condition::merge(&before.conditions, facts, guest.metadata.generation, now),
    }
}

/// What the guest does. While the hypervisor cannot say, what it said last counts: the guest most likely does that.
fn power(after: &Sight, before: &GuestStatus) -> Option<PowerState> {
    match after {
        Sight::Unknown(_) => before.power,
        Sight::Absent => None,
        Sight::Present(domain) => Some(match domain.state {
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
    decision: &Decision,
    progress: &Progress,
    after: &Sight,
    power: Option<PowerState>,
) -> Vec<Fact> {
    let storage = storage(guest, decision, progress);
    let running = running(decision, progress, after, power);
    let stalled = stalled(&storage, decision, progress);
    let ready = ready(
        guest,
        decision,
        progress,
        power,
        &storage,
        &running,
        stalled.as_ref(),
    );
    let stalled = stalled.unwrap_or_else(|| Fact::no("Stalled", "Progressing", ""));
    vec![ready, storage, running, stalled]
}

fn storage(guest: &Guest, decision: &Decision, progress: &Progress) -> Fact {
    let image = &guest.spec.root_disk.image.name;
    let no = |reason: &'static str, message: String| Fact::no("StorageReady", reason, message);
    match (&decision.waiting, &progress.failure) {
        (
            _,
            Some(StepFailure {
                step: Step::MakeDisk | Step::WriteSeed,
                message,
                ..
            }),
        ) => no("DiskFailed", message.clone()),
        (Waiting::Image(presence), _) => match presence {
            Presence::Ready { .. } => no("Building", format!("image {image} is there")),
            Presence::Downloading { percent, .. } => {
                no("Downloading", downloading(image, *percent))
            }
            Presence::Failed { message, .. } => no(
                "DownloadFailed",
                format!("image {image}: {message}; it is tried again"),
            ),
            Presence::Refused { message, .. } => {
                no("ImageRefused", format!("image {image}: {message}"))
            }
        },
        (Waiting::SmallerImage { virtual_size, disk }, _) => no(
            "DiskTooSmall",
            format!(
                "image {image} describes a disk of {virtual_size}, and the flavor's disk has {disk}: choose a flavor with a larger disk"
            ),
        ),
        (Waiting::Seed, _) => no(
            "Building",
            format!(
                "waiting for Secret {}, which holds the seed",
                guest.spec.seed_secret
            ),
        ),
        (Waiting::Hypervisor(_) | Waiting::Foreign, _) => known(guest, "StorageReady"),
        (
            Waiting::Nothing
            | Waiting::PowerOff
            | Waiting::Transition
            | Waiting::Backoff(_)
            | Waiting::Owner(_)
            | Waiting::Storage
            | Waiting::Farewell,
            _,
        ) => Fact::yes("StorageReady", "Built", "the root disk is there"),
    }
}

/// In steps of ten percent, so that a status is written ten times for a download and not a hundred times.
fn downloading(image: &str, percent: Option<u8>) -> String {
    match percent {
        Some(percent) => format!("downloading image {image}: {} %", percent / 10 * 10),
        None => format!("downloading image {image}"),
    }
}

/// What was last said of this, where nothing new is known.
fn known(guest: &Guest, kind: &'static str) -> Fact {
    let before = guest
        .status
        .as_ref()
        .and_then(|status| condition::find(&status.conditions, kind));
    match before {
        Some(said) if said.status == "True" => {
            Fact::yes(kind, said.reason.clone(), said.message.clone())
        }
        Some(said) if said.status == "False" => {
            Fact::no(kind, said.reason.clone(), said.message.clone())
        }
        Some(_) | None => Fact::unknown(kind, "Unknown", "not known yet"),
    }
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
fn stalled(storage: &Fact, decision: &Decision, progress: &Progress) -> Option<Fact> {
    let yes = |fact: &Fact| {
        Some(Fact::yes(
            "Stalled",
            fact.reason.clone(),
            fact.message.clone(),
        ))
    };
    match (&decision.waiting, &progress.failure) {
        (Waiting::Image(Presence::Refused { .. }) | Waiting::SmallerImage { .. }, _) => {
            yes(storage)
        }
        (Waiting::Foreign, _) => {
            let message = "a domain that is not Kilonova's has this server's UUID on the node: it is left alone; remove it there";
            Some(Fact::yes("Stalled", "ForeignDomain", message))
        }
        (
            _,
            Some(StepFailure {
                hopeless: true,
                message,
                ..
            }),
        ) => Some(Fact::yes("Stalled", "HypervisorFailed", message.clone())),
        (
            _,
            Some(StepFailure {
                hopeless: false, ..
            })
            | None,
        ) => None,
    }
}

fn ready(
    guest: &Guest,
    decision: &Decision,
    progress: &Progress,
    power: Option<PowerState>,
    storage: &Fact,
    running: &Fact,
    stalled: Option<&Fact>,
) -> Fact {
    let because = |fact: &Fact| Fact {
        kind: "Ready",
        ..fact.clone()
    };
    let no = |reason: &'static str, message: &str| Fact::no("Ready", reason, message.to_owned());
    if let Some(stalled) = stalled {
        return Fact::no("Ready", stalled.reason.clone(), stalled.message.clone());
    }
    if let Some(failure) = &progress.failure {
        return Fact::no(
            "Ready",
            "HypervisorFailed",
            format!("{}; it is tried again", failure.message),
        );
    }
    match &decision.waiting {
        Waiting::Hypervisor(why) => Fact::unknown("Ready", "HypervisorSilent", why.clone()),
        Waiting::Image(_) | Waiting::Seed | Waiting::SmallerImage { .. } | Waiting::Foreign => {
            because(storage)
        }
        Waiting::Backoff(_) | Waiting::Owner(_) | Waiting::Storage => because(running),
        Waiting::PowerOff if power == Some(PowerState::Stopped) => {
            Fact::yes("Ready", "AsAsked", "the guest is off")
        }
        Waiting::PowerOff => no("Stopping", "the guest was asked to power off"),
        Waiting::Transition => no("Progressing", "the hypervisor is at it"),
        Waiting::Farewell => no("Deleting", "it is being removed from the node"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::plan::{
        decide,
        fixtures::{at, bare, domain, guest, sees},
    };

    fn told(guest: &Guest, observed: &decide::Observed, after: DomainState) -> GuestStatus {
        let decision = decide::decide(guest, observed, at(0));
        let progress = Progress {
            done: decision.steps.clone(),
            failure: None,
        };
        report(
            guest,
            &decision,
            &progress,
            &Sight::Present(domain(after)),
            None,
            at(0),
        )
    }

    fn words(status: &GuestStatus) -> Vec<String> {
        status
            .conditions
            .iter()
            .map(|c| format!("{} {} {}", c.type_, c.status, c.reason))
            .collect()
    }

    #[test]
    fn a_guest_that_was_started_is_ready_and_says_when() {
        let status = told(
            &guest(),
            &sees(DomainState::Shutoff(StopReason::Unknown)),
            DomainState::Running,
        );
        assert_eq!(
            words(&status),
            [
                "Ready True AsAsked",
                "StorageReady True Built",
                "Running True Running",
                "Stalled False Progressing"
            ]
        );
        assert_eq!(
            (status.started_at, status.restarts),
            (Some(Time(at(0))), Some(0))
        );
    }

    #[test]
    fn a_restart_is_counted() {
        let guest = guest().was(PowerState::Running);
        let status = told(
            &guest,
            &sees(DomainState::Shutoff(StopReason::Crashed)),
            DomainState::Running,
        );
        assert_eq!(status.restarts, Some(1));
    }

    #[test]
    fn a_restart_that_failed_is_still_a_restart_the_next_time() {
        let off = DomainState::Shutoff(StopReason::Failed);
        let guest = guest().was(PowerState::Running);
        let decision = decide::decide(
            &guest,
            &sees(DomainState::Shutoff(StopReason::Crashed)),
            at(0),
        );
        let failure = StepFailure {
            step: Step::Restart,
            hopeless: false,
            message: "no".to_owned(),
        };
        let progress = Progress {
            done: vec![],
            failure: Some(failure),
        };
        let status = report(&guest, &decision, &progress, &sees(off).domain, None, at(0));
        let again = decide::decide(&guest.reported(status), &sees(off), at(9));
        assert_eq!(again.steps, [Step::Restart]);
    }

    #[test]
    fn what_somebody_must_mend_is_stalled_with_its_reason() {
        let refused = Presence::Refused {
            message: "it has a backing file".to_owned(),
            retry_after: None,
        };
        let guest = guest();
        let decision = decide::decide(&guest, &bare(refused), at(0));
        let status = report(
            &guest,
            &decision,
            &Progress::default(),
            &Sight::Absent,
            None,
            at(0),
        );
        let stalled = condition::find(&status.conditions, "Stalled").unwrap();
        assert_eq!(
            (&*stalled.status, &*stalled.reason),
            ("True", "ImageRefused")
        );
        assert_eq!(stalled.message, "image public/tiny: it has a backing file");
    }

    #[test]
    fn equal_facts_make_an_equal_status_whenever_they_are_told() {
        let running = sees(DomainState::Running);
        let first = told(&guest(), &running, DomainState::Running);
        let guest = guest().reported(first.clone());
        let decision = decide::decide(&guest, &running, at(99));
        let again = report(
            &guest,
            &decision,
            &Progress::default(),
            &running.domain,
            None,
            at(99),
        );
        assert_eq!(again, first);
    }

    #[test]
    fn a_silent_hypervisor_leaves_what_was_known_of_the_guest() {
        let guest = guest().was(PowerState::Running);
        let silent = decide::Observed {
            domain: Sight::Unknown("away".to_owned()),
            ..sees(DomainState::Running)
        };
        let decision = decide::decide(&guest, &silent, at(0));
        let status = report(
            &guest,
            &decision,
            &Progress::default(),
            &silent.domain,
            None,
            at(0),
        );
        assert_eq!(status.power, Some(PowerState::Running));
        assert_eq!(words(&status)[2], "Running Unknown HypervisorSilent");
    }

    #[test]
    fn the_time_of_asking_is_kept_until_the_guest_is_off() {
        let guest = guest().shall(PowerState::Stopped);
        let asked = told(&guest, &sees(DomainState::Running), DomainState::Running);
        assert_eq!(asked.stopping_since, Some(Time(at(0))));
        let guest = guest.reported(asked);
        let off = DomainState::Shutoff(StopReason::Shutdown);
        assert_eq!(told(&guest, &sees(off), off).stopping_since, None);
    }
}
