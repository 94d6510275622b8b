//! What becomes of the one-off action in a guest's spec: begun at most once, and always concluded.
//!
//! That an action has begun is written down before it is done. An agent that finds one begun which it has not begun
//! itself cannot know how far it came, and says so rather than do it again.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        condition::whole_seconds,
        guest::{ActionRecord, Guest, GuestAction},
        server::PowerState,
        server_action::{ActionState, Verb},
    },
    node::driver::{DomainInfo, DomainState, PortId},
};

use super::decide::{ASK_AGAIN, Decision, Step, Waiting, elapsed, later, press, wait};

/// What the agent's process remembers of a guest, and forgets when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// How often in a row the guest ended soon after it was started.
    pub failures: u32,
    /// When it last ended.
    pub ended_at: Option<Timestamp>,
    /// When its power button was last pressed, if it has not been started since.
    pub asked_at: Option<Timestamp>,
    /// When it was last let go on after its storage had failed.
    pub revived_at: Option<Timestamp>,
    /// When it was last asked to let go of a NIC.
    pub unplugged_at: BTreeMap<PortId, Timestamp>,
    /// The action that this process has begun.
    pub acting: Option<String>,
    /// How the last action ended, which may not be on record yet.
    pub outcome: Option<Outcome>,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its id.
    pub id: String,
    /// Whether it was done.
    pub done: bool,
    /// How it ended, in words.
    pub message: String,
}

impl Outcome {
    /// What the record tells; `None` of an action that goes on.
    pub fn of(record: &ActionRecord) -> Option<Self> {
        record.state.is_final().then(|| Self {
            id: record.id.clone(),
            done: record.state == ActionState::Succeeded,
            message: record.message.clone().unwrap_or_default(),
        })
    }
}

/// What becomes of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionPlan {
    /// Write down that it has begun, then do the steps.
    Begin {
        /// Its id.
        id: String,
        /// What is done.
        verb: Verb,
    },
    /// Do the steps, then write down how it ended.
    Conclude(Outcome),
}

/// What to do about the guest's action; `None` when there is none, or it has ended.
pub fn plan(
    guest: &Guest,
    domain: Option<&DomainInfo>,
    recent: &Recent,
    now: Timestamp,
) -> Option<Decision> {
    let action = guest.spec.action.as_ref()?;
    let record = guest
        .status
        .as_ref()
        .and_then(|status| status.action.as_ref());
    let record = record.filter(|record| record.id == action.id);
    match record {
        Some(record) if record.state.is_final() => None,
        Some(record) => Some(go_on(guest, action, record, domain, recent, now)),
        None => Some(begin(guest, action, domain)),
    }
}

fn begin(guest: &Guest, action: &GuestAction, domain: Option<&DomainInfo>) -> Decision {
    let runs = domain.is_some_and(|domain| domain.state == DomainState::Running);
    if guest.spec.power != PowerState::Running || !runs {
        return conclude(
            action,
            false,
            "the server does not run: set spec.powerState: Running and wait until it is Ready",
        );
    }
    let (steps, again) = match action.verb {
        // libvirt's own reboot loses the guest on hosts that lock disks, so the guest powers off and is started.
        Verb::SoftReboot => (vec![Step::AskShutdown], Some(ASK_AGAIN.min(grace(guest)))),
        Verb::HardReboot => (vec![Step::Destroy, Step::Define, Step::Start], None),
        Verb::Reset => (vec![Step::Reset], None),
        Verb::Nmi => (vec![Step::Nmi], None),
    };
    let plan = ActionPlan::Begin {
        id: action.id.clone(),
        verb: action.verb,
    };
    Decision {
        steps,
        again,
        action: Some(plan),
        ..wait(Waiting::Nothing)
    }
}

/// An action that is on record as begun. Only a soft reboot takes longer than one run: the record of any other, or its
/// last write, was not finished.
fn go_on(
    guest: &Guest,
    action: &GuestAction,
    record: &ActionRecord,
    domain: Option<&DomainInfo>,
    recent: &Recent,
    now: Timestamp,
) -> Decision {
    let known = recent.outcome.as_ref();
    if let Some(outcome) = known.filter(|outcome| outcome.id == action.id) {
        return ended(outcome.clone());
    }
    if recent.acting.as_deref() != Some(&action.id) {
        let message = "the node's agent was restarted in the middle of it: whether it took effect is not known";
        return conclude(action, false, message);
    }
    match action.verb {
        Verb::SoftReboot => {}
        Verb::HardReboot | Verb::Reset | Verb::Nmi => {
            let message = "the node's agent was interrupted in the middle of it: whether it took effect is not known";
            return conclude(action, false, message);
        }
    }
    if !domain.is_some_and(|domain| domain.state.is_active()) {
        let steps = vec![Step::Define, Step::Start];
        let done = conclude(action, true, "the guest powered off and was started again");
        return Decision { steps, ..done };
    }
    let began = record.started_at.as_ref().map_or(now, |time| time.0);
    let left = grace(guest).saturating_sub(elapsed(began, now));
    if left.is_zero() {
        let message = format!(
            "the guest did not power off in {} s: it was cut off and started again",
            grace(guest).as_secs()
        );
        let steps = vec![Step::Destroy, Step::Define, Step::Start];
        return Decision {
            steps,
            ..conclude(action, true, message)
        };
    }
    let again = ASK_AGAIN.min(left);
    Decision {
        steps: press(recent, now).into_iter().collect(),
        ..later(Waiting::Nothing, again)
    }
}

fn conclude(action: &GuestAction, done: bool, message: impl Into<String>) -> Decision {
    ended(Outcome {
        id: action.id.clone(),
        done,
        message: message.into(),
    })
}

fn ended(outcome: Outcome) -> Decision {
    Decision {
        action: Some(ActionPlan::Conclude(outcome)),
        again: Some(Duration::ZERO),
        ..wait(Waiting::Nothing)
    }
}

fn grace(guest: &Guest) -> Duration {
    Duration::from_secs(guest.spec.shutdown_grace_seconds.into())
}

/// How an action stands once its steps were tried; `failure` is why one of them failed.
pub fn record(
    guest: &Guest,
    plan: &ActionPlan,
    failure: Option<String>,
    now: Timestamp,
) -> ActionRecord {
    let time = || Some(Time(whole_seconds(now)));
    let (ActionPlan::Begin { id, .. } | ActionPlan::Conclude(Outcome { id, .. })) = plan;
    let before = guest
        .status
        .as_ref()
        .and_then(|status| status.action.clone())
        .filter(|record| record.id == *id);
    let started_at = before.and_then(|record| record.started_at).or_else(time);
    let ended = |done: bool, message: String| ActionRecord {
        id: id.clone(),
        state: if done {
            ActionState::Succeeded
        } else {
            ActionState::Failed
        },
        started_at: started_at.clone(),
        finished_at: time(),
        message: Some(message),
    };
    match (plan, failure) {
        (_, Some(failure)) => ended(false, failure),
        (ActionPlan::Conclude(outcome), None) => ended(outcome.done, outcome.message.clone()),
        (ActionPlan::Begin { verb, .. }, None) => match verb {
            Verb::SoftReboot => ActionRecord {
                message: Some("the guest was asked to power off".to_owned()),
                state: ActionState::Running,
                finished_at: None,
                ..ended(true, String::new())
            },
            Verb::HardReboot => ended(true, "the guest was cut off and started again".to_owned()),
            Verb::Reset => ended(true, "the guest was reset".to_owned()),
            Verb::Nmi => ended(true, "the guest got a non-maskable interrupt".to_owned()),
        },
    }
}

/// How an action stands while its steps are being done.
pub fn begun(id: &str, now: Timestamp) -> ActionRecord {
    ActionRecord {
        id: id.to_owned(),
        state: ActionState::Running,
        started_at: Some(Time(whole_seconds(now))),
        finished_at: None,
        message: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::guest::GuestStatus,
        node::{
            driver::StopReason,
            plan::fixtures::{at, domain, guest},
        },
    };

    fn begun_at(second: i64) -> Guest {
        let status = GuestStatus {
            action: Some(begun("action-1", at(second))),
            ..GuestStatus::default()
        };
        guest().told_to(Verb::SoftReboot).reported(status)
    }

    fn ours() -> Recent {
        Recent {
            acting: Some("action-1".to_owned()),
            ..Recent::default()
        }
    }

    #[test]
    fn each_verb_is_begun_once_on_a_guest_that_runs() {
        let table: [(Verb, &[Step]); 4] = [
            (Verb::SoftReboot, &[Step::AskShutdown]),
            (
                Verb::HardReboot,
                &[Step::Destroy, Step::Define, Step::Start],
            ),
            (Verb::Reset, &[Step::Reset]),
            (Verb::Nmi, &[Step::Nmi]),
        ];
        for (verb, steps) in table {
            let plan = plan(
                &guest().told_to(verb),
                Some(&domain(DomainState::Running)),
                &Recent::default(),
                at(0),
            );
            let plan = plan.unwrap();
            assert_eq!(plan.steps, steps);
            assert!(
                matches!(plan.action, Some(ActionPlan::Begin { .. })),
                "{verb:?}"
            );
        }
    }

    #[test]
    fn a_guest_that_does_not_run_fails_the_action_and_is_left_alone() {
        let off = domain(DomainState::Shutoff(StopReason::Shutdown));
        let plan = plan(
            &guest().told_to(Verb::Reset),
            Some(&off),
            &Recent::default(),
            at(0),
        )
        .unwrap();
        assert!(plan.steps.is_empty());
        assert!(matches!(
            plan.action,
            Some(ActionPlan::Conclude(Outcome { done: false, .. }))
        ));
    }

    #[test]
    fn an_action_that_another_process_began_is_never_repeated() {
        let plan = plan(
            &begun_at(0),
            Some(&domain(DomainState::Running)),
            &Recent::default(),
            at(1),
        )
        .unwrap();
        assert!(plan.steps.is_empty());
        assert!(matches!(
            plan.action,
            Some(ActionPlan::Conclude(Outcome { done: false, .. }))
        ));
    }

    #[test]
    fn a_soft_reboot_starts_the_guest_once_it_is_off() {
        let off = domain(DomainState::Shutoff(StopReason::Shutdown));
        let plan = plan(&begun_at(0), Some(&off), &ours(), at(3)).unwrap();
        assert_eq!(plan.steps, [Step::Define, Step::Start]);
        assert!(matches!(
            plan.action,
            Some(ActionPlan::Conclude(Outcome { done: true, .. }))
        ));
    }

    #[test]
    fn a_soft_reboot_becomes_hard_after_the_grace() {
        let runs = domain(DomainState::Running);
        let asks = plan(&begun_at(0), Some(&runs), &ours(), at(59)).unwrap();
        assert_eq!(asks.steps, [Step::AskShutdown]);
        let cuts = plan(&begun_at(0), Some(&runs), &ours(), at(60)).unwrap();
        assert_eq!(cuts.steps, [Step::Destroy, Step::Define, Step::Start]);
    }

    #[test]
    fn only_a_soft_reboot_is_gone_on_with() {
        for verb in [Verb::HardReboot, Verb::Reset, Verb::Nmi] {
            let mut guest = begun_at(0);
            guest = guest.told_to(verb);
            for state in [
                DomainState::Running,
                DomainState::Shutoff(StopReason::Shutdown),
            ] {
                let plan = plan(&guest, Some(&domain(state)), &ours(), at(99)).unwrap();
                assert_eq!(plan.steps, [], "{verb:?}");
                let Some(ActionPlan::Conclude(outcome)) = plan.action else {
                    panic!("{verb:?} is not concluded");
                };
                assert!(!outcome.done && outcome.message.contains("not known"));
            }
        }
    }

    #[test]
    fn an_outcome_that_could_not_be_written_down_is_written_again_and_nothing_is_done_again() {
        for verb in [Verb::SoftReboot, Verb::HardReboot, Verb::Reset, Verb::Nmi] {
            let outcome = Outcome {
                id: "action-1".to_owned(),
                done: true,
                message: "it was done".to_owned(),
            };
            let recent = Recent {
                outcome: Some(outcome.clone()),
                ..ours()
            };
            let runs = domain(DomainState::Running);
            let plan = plan(&begun_at(0).told_to(verb), Some(&runs), &recent, at(99)).unwrap();
            assert_eq!(plan.steps, [], "{verb:?}");
            assert_eq!(plan.action, Some(ActionPlan::Conclude(outcome)), "{verb:?}");
        }
    }

    #[test]
    fn an_action_on_record_as_ended_is_left_alone() {
        let done = ActionPlan::Conclude(Outcome {
            id: "action-1".to_owned(),
            done: true,
            message: String::new(),
        });
        let record = record(&begun_at(0), &done, None, at(5));
        assert_eq!(
            (record.state, record.started_at.clone()),
            (ActionState::Succeeded, Some(Time(at(0))))
        );
        let status = GuestStatus {
            action: Some(record),
            ..GuestStatus::default()
        };
        let guest = guest().told_to(Verb::SoftReboot).reported(status);
        assert_eq!(
            plan(&guest, Some(&domain(DomainState::Running)), &ours(), at(9)),
            None
        );
    }
}
