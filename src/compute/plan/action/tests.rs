//! What becomes of an action, from its first look to its last.

use super::*;
use crate::{
    api::server_action::{Nmi, Reboot, RebootKind, Reset, ServerActionSpec, Verb},
    compute::plan::fixtures::{acting, at, bound, guest, leaving, time, told},
};

const ID: &str = "action-uid";

fn action() -> ServerAction {
    let spec = ServerActionSpec {
        server: "web-1".to_owned(),
        reboot: None,
        reset: Some(Reset {}),
        nmi: None,
        ttl_after_finished: None,
    };
    let mut action = ServerAction::new("kick", spec);
    action.metadata.uid = Some(ID.to_owned());
    action.metadata.generation = Some(1);
    action
}

fn ended(second: i64) -> ServerAction {
    let mut action = action();
    action.status = Some(ServerActionStatus {
        state: Some(ActionState::Succeeded),
        finished_at: Some(time(second)),
        ..ServerActionStatus::default()
    });
    action
}

/// A guest that has been started.
fn running() -> Guest {
    let mut guest = told(Some(PowerState::Running), Vec::new());
    guest.status.get_or_insert_default().started_at = Some(time(5));
    guest
}

fn observed<'a>(server: &'a Server, guest: &'a Guest) -> Observed<'a> {
    Observed {
        server: Some(server),
        guest: Some(guest),
        earlier: None,
    }
}

fn standing(decision: Decision) -> (ActionState, String) {
    match decision {
        Decision::Watch(standing) => (standing.state, standing.message),
        other @ Decision::Hand(_) => panic!("{other:?}"),
    }
}

#[test]
fn each_verb_is_handed_to_the_node_as_it_is() {
    let reboot = |kind| Some(Reboot { kind });
    for (reset, nmi, reboot, verb) in [
        (Some(Reset {}), None, None, Verb::Reset),
        (None, Some(Nmi {}), None, Verb::Nmi),
        (None, None, reboot(RebootKind::Soft), Verb::SoftReboot),
        (None, None, reboot(RebootKind::Hard), Verb::HardReboot),
    ] {
        let mut action = action();
        action.spec.reset = reset;
        action.spec.nmi = nmi;
        action.spec.reboot = reboot;
        let decision = decide(&action, &observed(&bound(), &running()), at(10));
        let id = ID.to_owned();
        assert_eq!(decision, Decision::Hand(GuestAction { id, verb }));
    }
}

#[test]
fn what_can_never_be_done_fails_with_what_to_do() {
    let (server, going, guest) = (bound(), leaving(bound()), guest());
    let mut two = action();
    two.spec.nmi = Some(Nmi {});
    let nobody = Observed {
        server: None,
        guest: None,
        earlier: None,
    };
    for (action, observed, message) in [
        (
            two,
            observed(&server, &guest),
            "an action has exactly one verb: reboot, reset or nmi",
        ),
        (
            action(),
            nobody,
            "there is no server \"web-1\" in this project: `kubectl get servers` lists what there is",
        ),
        (
            action(),
            observed(&going, &guest),
            "server \"web-1\" is being deleted",
        ),
    ] {
        let decision = decide(&action, &observed, at(10));
        let status = report(&action, &decision, at(10));
        assert_eq!(
            standing(decision),
            (ActionState::Failed, message.to_owned())
        );
        assert_eq!(status.finished_at, Some(time(10)));
        assert!(condition::holds(&status.conditions, "Stalled"));
    }
}

#[test]
fn one_action_waits_for_another_on_the_same_server() {
    let (server, guest) = (bound(), guest());
    let waiting = Observed {
        earlier: Some("first".to_owned()),
        ..observed(&server, &guest)
    };
    let (state, message) = standing(decide(&action(), &waiting, at(10)));
    assert_eq!(state, ActionState::Pending);
    assert_eq!(
        message,
        "waiting for action \"first\" on the same server to end"
    );
}

#[test]
fn an_action_is_handed_over_once() {
    let mut told = running();
    told.spec.action = Some(GuestAction {
        id: ID.to_owned(),
        verb: Verb::Reset,
    });
    let (state, message) = standing(decide(&action(), &observed(&bound(), &told), at(10)));
    assert_eq!(
        (state, message.as_str()),
        (ActionState::Pending, "the hypervisor has been told")
    );
    // What the node was told of another action does not keep this one.
    told.spec.action.as_mut().unwrap().id = "another".to_owned();
    let decision = decide(&action(), &observed(&bound(), &told), at(10));
    assert!(matches!(decision, Decision::Hand(_)));
}

#[test]
fn the_node_s_record_is_the_action_s() {
    for state in [
        ActionState::Pending,
        ActionState::Running,
        ActionState::Succeeded,
        ActionState::Failed,
    ] {
        let guest = acting(told(None, Vec::new()), Verb::Reset, state);
        let decision = decide(&action(), &observed(&bound(), &guest), at(99));
        let status = report(&action(), &decision, at(99));
        assert_eq!(status.state, Some(state));
        assert_eq!(status.verb, Some(Verb::Reset));
        assert_eq!(status.started_at, Some(time(50)));
        // The node's own time, if the action has ended; never the time at which we heard of it.
        assert_eq!(status.finished_at, state.is_final().then(|| time(60)));
        assert_eq!(status.message.as_deref(), Some("as the node says"));
        let holds = |kind| condition::holds(&status.conditions, kind);
        assert_eq!(holds("Ready"), state == ActionState::Succeeded);
        assert_eq!(holds("Stalled"), state == ActionState::Failed);
    }
}

/// The record is what was done: an action of the past does not fail because its server is changed later.
#[test]
fn a_record_goes_before_what_an_earlier_action_says() {
    let (server, guest) = (
        bound(),
        acting(told(None, Vec::new()), Verb::Reset, ActionState::Succeeded),
    );
    let waiting = Observed {
        earlier: Some("first".to_owned()),
        ..observed(&server, &guest)
    };
    let (state, _) = standing(decide(&action(), &waiting, at(10)));
    assert_eq!(state, ActionState::Succeeded);
}

/// Server and action may come in one manifest.
#[test]
fn an_action_waits_for_its_server_to_be_built() {
    let server = bound();
    let unbuilt = Observed {
        server: Some(&server),
        guest: None,
        earlier: None,
    };
    let mut young = running();
    young.status.as_mut().unwrap().started_at = None;
    for observed in [unbuilt, observed(&server, &young)] {
        let (state, message) = standing(decide(&action(), &observed, at(10)));
        assert_eq!(state, ActionState::Pending);
        assert_eq!(message, "waiting until server \"web-1\" is built and runs");
    }
    // One that is not asked to run never will by itself: its node says so.
    young.spec.power = PowerState::Stopped;
    let decision = decide(&action(), &observed(&server, &young), at(10));
    assert!(matches!(decision, Decision::Hand(_)));
}

#[test]
fn what_has_ended_is_kept_for_its_time_and_then_expires() {
    let days_30 = 30 * 24 * 3600;
    for (ttl_s, now, expected) in [
        (None, 100, History::Keep(Duration::from_secs(days_30))),
        (None, 101, History::Keep(Duration::from_secs(days_30 - 1))),
        (None, 100 + days_30, History::Expire),
        (Some(60), 159, History::Keep(Duration::from_secs(1))),
        (Some(60), 160, History::Expire),
        (Some(0), 100, History::Expire),
    ] {
        let mut action = ended(100);
        action.spec.ttl_after_finished = ttl_s.map(|s| Duration::from_secs(s).into());
        assert_eq!(history(&action, at(now.cast_signed())), Some(expected));
    }
    assert_eq!(history(&action(), at(100)), None);
}

#[test]
fn equal_facts_make_an_equal_status_at_any_later_time() {
    let running = acting(told(None, Vec::new()), Verb::Reset, ActionState::Running);
    for guest in [guest(), running] {
        let mut action = action();
        let server = bound();
        let status = |action: &ServerAction, second| {
            let decision = decide(action, &observed(&server, &guest), at(second));
            report(action, &decision, at(second))
        };
        let first = status(&action, 10);
        action.status = Some(first.clone());
        assert_eq!(status(&action, 20), first);
    }
}

#[test]
fn only_what_succeeded_or_failed_has_finished() {
    for (state, finished) in [
        (None, false),
        (Some(ActionState::Pending), false),
        (Some(ActionState::Running), false),
        (Some(ActionState::Succeeded), true),
        (Some(ActionState::Failed), true),
    ] {
        let mut action = action();
        action.status = Some(ServerActionStatus {
            state,
            ..ServerActionStatus::default()
        });
        assert_eq!(is_finished(&action), finished);
    }
}
