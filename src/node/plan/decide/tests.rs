use super::*;
use crate::{
    api::server::{PowerState, RestartPolicy},
    node::{
        driver::{DomainState, PauseReason, StopReason},
        images::Presence,
        plan::fixtures::{at, bare, built, guest, image, mark, sees},
    },
};

const OFF: DomainState = DomainState::Shutoff(StopReason::Shutdown);
const CRASHED: DomainState = DomainState::Shutoff(StopReason::Crashed);
const STILL: DomainState = DomainState::Paused(PauseReason::User);

fn steps(guest: &Guest, observed: &Observed) -> Vec<Step> {
    decide(guest, observed, at(0)).steps
}

#[test]
fn a_new_guest_is_built_from_its_image_and_started_in_one_go() {
    let decision = decide(&guest(), &bare(image()), at(0));
    assert_eq!(
        decision.steps,
        [Step::MakeDisk, Step::WriteSeed, Step::Define, Step::Start]
    );
    assert_eq!(decision.waiting, Waiting::Nothing);
}

#[test]
fn a_new_guest_that_shall_be_off_is_built_and_not_started() {
    let guest = guest().shall(PowerState::Stopped);
    assert_eq!(
        steps(&guest, &bare(image())),
        [Step::MakeDisk, Step::WriteSeed, Step::Define]
    );
}

#[test]
fn nothing_is_made_before_the_image_is_there() {
    let downloading = Presence::Downloading {
        percent: Some(10),
        bytes: 1,
    };
    let decision = decide(&guest(), &bare(downloading.clone()), at(0));
    assert_eq!(
        (decision.steps, decision.waiting),
        (vec![], Waiting::Image(downloading))
    );
}

#[test]
fn an_image_that_does_not_fit_the_disk_is_refused() {
    let large = Presence::Ready {
        path: "/x".into(),
        virtual_size: 2 << 30,
        size: 1,
    };
    let decision = decide(&guest(), &bare(large), at(0));
    assert!(decision.steps.is_empty());
    assert!(matches!(decision.waiting, Waiting::SmallerImage { .. }));
}

#[test]
fn each_power_state_is_reached_from_each_state_of_the_domain() {
    use DomainState::Running as Runs;
    use PowerState::{Paused, Running, Stopped, Suspended};
    let table: [(PowerState, DomainState, &[Step]); 12] = [
        (Running, Runs, &[]),
        (Running, STILL, &[Step::Resume]),
        (Running, OFF, &[Step::Start]),
        (Paused, Runs, &[Step::Pause]),
        (Paused, STILL, &[]),
        (Paused, OFF, &[Step::Start, Step::Pause]),
        (Suspended, Runs, &[Step::Suspend]),
        (Suspended, STILL, &[Step::Suspend]),
        (Suspended, OFF, &[]),
        (Stopped, Runs, &[Step::AskShutdown]),
        (Stopped, STILL, &[Step::Resume, Step::AskShutdown]),
        (Stopped, OFF, &[]),
    ];
    for (wanted, state, expected) in table {
        assert_eq!(
            steps(&guest().shall(wanted), &sees(state)),
            expected,
            "{wanted:?} from {state:?}"
        );
    }
}

#[test]
fn a_guest_that_does_not_power_off_is_cut_off_after_its_grace() {
    let guest = guest().shall(PowerState::Stopped).stopping_since(at(0));
    let observed = sees(DomainState::Running);
    assert_eq!(decide(&guest, &observed, at(59)).steps, [Step::AskShutdown]);
    assert_eq!(decide(&guest, &observed, at(60)).steps, [Step::Destroy]);
}

#[test]
fn the_power_button_is_not_pressed_again_at_once() {
    let guest = guest().shall(PowerState::Stopped).stopping_since(at(0));
    let mut observed = sees(DomainState::Running);
    observed.recent.asked_at = Some(at(0));
    assert_eq!(decide(&guest, &observed, at(1)).steps, []);
    assert_eq!(decide(&guest, &observed, at(5)).steps, [Step::AskShutdown]);
}

#[test]
fn the_next_look_is_never_after_the_grace() {
    let guest = guest().shall(PowerState::Stopped).stopping_since(at(0));
    let decision = decide(&guest, &sees(DomainState::Running), at(58));
    assert_eq!(decision.again, Some(Duration::from_secs(2)));
}

#[test]
fn restart_policies_say_who_is_started_again() {
    use RestartPolicy::{Always, Never, OnFailure};
    let table = [
        (Always, OFF, true),
        (Always, CRASHED, true),
        (OnFailure, OFF, false),
        (OnFailure, CRASHED, true),
        (Never, OFF, false),
        (Never, CRASHED, false),
    ];
    for (policy, state, again) in table {
        let guest = guest().was(PowerState::Running).restarts(policy);
        let decision = decide(&guest, &sees(state), at(0));
        let expected = if again { vec![Step::Restart] } else { vec![] };
        assert_eq!(decision.steps, expected, "{policy:?} after {state:?}");
        assert_eq!(
            matches!(decision.waiting, Waiting::Owner(_)),
            !again,
            "{policy:?} after {state:?}"
        );
    }
}

#[test]
fn a_guest_that_keeps_failing_waits_twice_as_long_each_time() {
    let guest = guest().was(PowerState::Running);
    let pauses = (0..12).map(|failures| {
        let mut observed = sees(CRASHED);
        observed.recent = Recent {
            failures,
            ended_at: Some(at(0)),
            ..Recent::default()
        };
        match decide(&guest, &observed, at(0)).waiting {
            Waiting::Backoff(left) => left.as_secs(),
            _ => 0,
        }
    });
    assert_eq!(
        pauses.collect::<Vec<_>>(),
        [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    );
}

#[test]
fn a_guest_is_started_again_once_its_pause_is_over() {
    let mut observed = sees(CRASHED);
    observed.recent = Recent {
        failures: 5,
        ended_at: Some(at(0)),
        ..Recent::default()
    };
    let guest = guest().was(PowerState::Running);
    assert!(decide(&guest, &observed, at(1)).steps.is_empty());
    assert_eq!(decide(&guest, &observed, at(2)).steps, [Step::Restart]);
}

#[test]
fn what_the_hypervisor_cannot_say_is_no_reason_to_act() {
    let observed = Observed {
        domain: Sight::Unknown("away".to_owned()),
        ..built()
    };
    for guest in [guest(), guest().deleted(), {
        let mut gone = guest().deleted();
        gone.spec.retired = true;
        gone
    }] {
        let decision = decide(&guest, &observed, at(0));
        assert_eq!(
            (decision.steps, decision.waiting),
            (vec![], Waiting::Hypervisor("away".to_owned()))
        );
    }
}

#[test]
fn a_domain_of_somebody_else_is_never_touched() {
    let mut observed = sees(DomainState::Running);
    if let Sight::Present(domain) = &mut observed.domain {
        (domain.mark, domain.running_mark) = (None, None);
    }
    let mut retired = guest().deleted();
    retired.spec.retired = true;
    for guest in [guest(), guest().shall(PowerState::Stopped), retired] {
        let decision = decide(&guest, &observed, at(0));
        assert_eq!(
            (decision.steps, decision.waiting),
            (vec![], Waiting::Foreign)
        );
    }
}

#[test]
fn a_guest_that_is_deleted_by_hand_goes_on() {
    assert_eq!(steps(&guest().deleted(), &sees(DomainState::Running)), []);
    assert_eq!(
        steps(&guest().deleted().was(PowerState::Running), &sees(CRASHED)),
        [Step::Restart]
    );
}

#[test]
fn of_a_retired_guest_nothing_is_left() {
    let mut guest = guest().deleted();
    guest.spec.retired = true;
    let all = [
        Step::Destroy,
        Step::Undefine,
        Step::RemoveFiles,
        Step::Release,
    ];
    assert_eq!(steps(&guest, &sees(DomainState::Running)), all);
    assert_eq!(steps(&guest, &sees(STILL)), all);
    assert_eq!(steps(&guest, &sees(OFF)), all[1..]);
    assert_eq!(steps(&guest, &built()), all[2..]);
}

#[test]
fn a_domain_of_an_old_binding_is_cut_off_before_anything_else() {
    let mut guest = guest();
    guest.spec.epoch = 2;
    let decision = steps(&guest, &sees(DomainState::Running));
    assert_eq!(decision, [Step::Destroy, Step::Define, Step::Start]);
}

#[test]
fn a_definition_is_renewed_at_the_next_start_only() {
    let newer = Mark {
        digest: "newer".to_owned(),
        ..mark()
    };
    let running = Observed {
        wanted: Ok(newer.clone()),
        ..sees(DomainState::Running)
    };
    assert_eq!(steps(&guest(), &running), []);
    let off = Observed {
        wanted: Ok(newer),
        ..sees(OFF)
    };
    assert_eq!(steps(&guest(), &off), [Step::Define, Step::Start]);
}

#[test]
fn saved_memory_keeps_the_definition_that_it_was_saved_under() {
    let mut observed = sees(DomainState::Shutoff(StopReason::Saved));
    observed.wanted = Ok(Mark {
        digest: "newer".to_owned(),
        ..mark()
    });
    if let Sight::Present(domain) = &mut observed.domain {
        domain.has_managed_save = true;
    }
    assert_eq!(steps(&guest(), &observed), [Step::Start]);
    assert_eq!(
        steps(&guest().shall(PowerState::Stopped), &observed),
        [Step::DiscardSaved]
    );
}

#[test]
fn a_saved_guest_that_shall_run_is_no_restart() {
    let mut observed = sees(DomainState::Shutoff(StopReason::Saved));
    if let Sight::Present(domain) = &mut observed.domain {
        domain.has_managed_save = true;
    }
    assert_eq!(
        steps(&guest().was(PowerState::Running), &observed),
        [Step::Start]
    );
}

#[test]
fn a_guest_whose_storage_failed_is_tried_again_every_ten_seconds_and_says_so() {
    let mut observed = sees(DomainState::Paused(PauseReason::IoError));
    let table: [(Option<i64>, &[Step], u64); 3] = [
        (None, &[Step::Revive], 10),
        (Some(0), &[], 7),
        (Some(-7), &[Step::Revive], 10),
    ];
    for (revived, steps, again) in table {
        observed.recent.revived_at = revived.map(at);
        let decision = decide(&guest(), &observed, at(3));
        assert_eq!(decision.steps, steps, "{revived:?}");
        assert_eq!(decision.waiting, Waiting::Storage, "{revived:?}");
        assert_eq!(
            decision.again,
            Some(Duration::from_secs(again)),
            "{revived:?}"
        );
    }
}

#[test]
fn a_guest_that_was_let_go_on_is_believed_after_a_while() {
    let mut observed = sees(DomainState::Running);
    observed.recent.revived_at = Some(at(0));
    let decision = decide(&guest(), &observed, at(3));
    assert_eq!(
        (decision.steps, decision.waiting, decision.again),
        (vec![], Waiting::Storage, Some(Duration::from_secs(7)))
    );
    let decision = decide(&guest(), &observed, at(10));
    assert_eq!(
        (decision.steps, decision.waiting),
        (vec![], Waiting::Nothing)
    );
}

#[test]
fn a_guest_whose_storage_failed_powers_off_without_a_hot_loop() {
    let guest = guest().shall(PowerState::Stopped).stopping_since(at(0));
    let mut observed = sees(DomainState::Paused(PauseReason::IoError));
    (observed.recent.revived_at, observed.recent.asked_at) = (Some(at(0)), Some(at(0)));
    assert_eq!(decide(&guest, &observed, at(1)).steps, []);
    assert_eq!(
        decide(&guest, &observed, at(10)).steps,
        [Step::Revive, Step::AskShutdown]
    );
    assert_eq!(decide(&guest, &observed, at(60)).steps, [Step::Destroy]);
}

#[test]
fn a_guest_that_never_comes_to_the_end_of_its_power_off_is_cut_off_after_its_grace() {
    let observed = sees(DomainState::ShuttingDown);
    let guest = guest().shall(PowerState::Stopped).stopping_since(at(0));
    let waits = decide(&guest, &observed, at(59));
    assert_eq!((waits.steps, waits.waiting), (vec![], Waiting::PowerOff));
    assert_eq!(decide(&guest, &observed, at(60)).steps, [Step::Destroy]);
    let guest = guest.shall(PowerState::Running);
    let waits = decide(&guest, &observed, at(60));
    assert_eq!((waits.steps, waits.waiting), (vec![], Waiting::Transition));
}

#[test]
fn a_power_off_that_we_asked_for_is_not_the_guests_own() {
    // Pressed, ended, and whether it is started whatever its policy.
    let table = [
        (None, Some(20), false),
        (Some(10), Some(20), true),
        (Some(10), Some(71), false),
        (Some(30), Some(20), false),
        (Some(10), None, false),
    ];
    let guest = guest()
        .was(PowerState::Running)
        .restarts(RestartPolicy::Never);
    for (asked, ended, started) in table {
        let recent = Recent {
            asked_at: asked.map(at),
            ended_at: ended.map(at),
            ..Recent::default()
        };
        for (state, started) in [(OFF, started), (CRASHED, false)] {
            let observed = Observed {
                recent: recent.clone(),
                ..sees(state)
            };
            let expected = if started { vec![Step::Start] } else { vec![] };
            let decision = decide(&guest, &observed, at(100));
            assert_eq!(decision.steps, expected, "{asked:?} {ended:?} {state:?}");
        }
    }
}

#[test]
fn the_disk_of_a_guest_that_has_run_is_never_made_anew() {
    let decision = decide(&guest().has_run(), &bare(image()), at(0));
    let lost = Waiting::LostDisk("/guests/it/root.qcow2".into());
    assert_eq!((decision.steps, decision.waiting), (vec![], lost));
    assert!(decision.again.is_some(), "a mount is not announced");
}

#[test]
fn what_the_file_system_cannot_say_is_no_reason_to_act() {
    let broken = || Found::Unknown("an I/O error".to_owned());
    for (root_disk, seed) in [(broken(), Found::Yes), (Found::Yes, broken())] {
        let mut observed = bare(image());
        (observed.files.root_disk, observed.files.seed) = (root_disk, seed);
        let decision = decide(&guest(), &observed, at(0));
        let waiting = Waiting::Files("an I/O error".to_owned());
        assert_eq!((decision.steps, decision.waiting), (vec![], waiting));
    }
}

#[test]
fn a_guest_whose_image_is_gone_waits_for_it_only_to_start() {
    let downloading = Presence::Downloading {
        percent: None,
        bytes: 0,
    };
    let mut observed = sees(OFF);
    observed.files.image = Some(downloading.clone());
    for power in [PowerState::Running, PowerState::Paused] {
        let decision = decide(&guest().shall(power), &observed, at(0));
        let waiting = Waiting::Image(downloading.clone());
        assert_eq!((decision.steps, decision.waiting), (vec![], waiting));
    }
    let off = decide(&guest().shall(PowerState::Stopped), &observed, at(0));
    assert_eq!(off.waiting, Waiting::Nothing);
    observed.files.image = Some(image());
    assert_eq!(steps(&guest(), &observed), [Step::Start]);
    observed.files.seed = Found::No;
    observed.files.image = Some(downloading.clone());
    let decision = decide(&guest(), &observed, at(0));
    assert_eq!(decision.waiting, Waiting::Image(downloading));
}

#[test]
fn what_cannot_be_read_or_written_is_waited_for_with_its_reason() {
    let mut observed = bare(image());
    observed.files.documents = Papers::Forbidden;
    let decision = decide(&guest(), &observed, at(0));
    assert_eq!(
        (decision.steps, decision.waiting),
        (vec![], Waiting::ForbiddenSeed)
    );
    let observed = Observed {
        wanted: Err("no".to_owned()),
        ..sees(OFF)
    };
    let decision = decide(&guest(), &observed, at(0));
    let waiting = Waiting::Definition("no".to_owned());
    assert_eq!((decision.steps, decision.waiting), (vec![], waiting));
}
