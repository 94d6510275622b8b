//! When NICs are plugged in and out, and when they are left alone.

use super::*;
use crate::node::plan::{
    decide::{Observed, Sight, decide},
    fixtures::{at, guest, has_nics, port, sees},
};

const OFF: DomainState = DomainState::Shutoff(crate::node::driver::StopReason::Shutdown);
const STILL: DomainState = DomainState::Paused(PauseReason::User);

fn seen(domain: DomainInfo) -> Observed {
    Observed {
        domain: Sight::Present(domain),
        ..sees(DomainState::Running)
    }
}

fn steps(wanted: &[u8], domain: DomainInfo) -> Vec<Step> {
    let power = match domain.state {
        DomainState::Paused(_) => PowerState::Paused,
        _ => PowerState::Running,
    };
    let guest = guest().with_nics(wanted).shall(power);
    decide(&guest, &seen(domain), at(0)).steps
}

#[test]
fn what_is_as_asked_is_left_alone() {
    for nics in [&[][..], &[1], &[1, 2]] {
        let domain = has_nics(DomainState::Running, nics, nics);
        assert_eq!(steps(nics, domain), []);
    }
    // The order in which they are asked for does not move one that is there.
    let domain = has_nics(DomainState::Running, &[1, 2], &[1, 2]);
    assert_eq!(steps(&[2, 1], domain), []);
}

#[test]
fn a_new_nic_is_plugged_in_while_the_guest_runs_or_stands_still() {
    let plug = vec![Step::Plug(port(2))];
    for state in [DomainState::Running, STILL] {
        assert_eq!(steps(&[1, 2], has_nics(state, &[1], &[1])), plug);
        // An agent that ended in between has plugged it into what runs only.
        assert_eq!(steps(&[1, 2], has_nics(state, &[1], &[1, 2])), plug);
    }
}

#[test]
fn a_nic_that_is_not_wanted_leaves_what_runs_and_then_the_definition() {
    let unplug = vec![Step::Unplug(port(2))];
    let running = DomainState::Running;
    assert_eq!(steps(&[1], has_nics(running, &[1, 2], &[1, 2])), unplug);
    assert_eq!(steps(&[1], has_nics(running, &[1, 2], &[1])), unplug);
    assert_eq!(steps(&[1], has_nics(running, &[1], &[1])), []);
}

#[test]
fn a_guest_that_stands_still_is_not_asked_and_is_looked_at_again() {
    let guest = guest().with_nics(&[1]).shall(PowerState::Paused);
    let observed = seen(has_nics(STILL, &[1, 2], &[1, 2]));
    let decision = decide(&guest, &observed, at(0));
    assert_eq!(
        (decision.steps, decision.again),
        (vec![], Some(UNPLUG_AGAIN))
    );
}

#[test]
fn a_guest_that_does_not_listen_is_asked_again_after_a_while() {
    let guest = guest().with_nics(&[]);
    let mut observed = seen(has_nics(DomainState::Running, &[2], &[2]));
    observed.recent.unplugged_at.insert(port(2), at(0));
    let early = decide(&guest, &observed, at(9));
    assert_eq!((early.steps, early.again), (vec![], Some(UNPLUG_AGAIN)));
    let late = decide(&guest, &observed, at(10));
    assert_eq!(late.steps, [Step::Unplug(port(2))]);
}

#[test]
fn nics_of_a_guest_that_ends_or_is_off_wait_for_its_definition() {
    let leaving = guest().with_nics(&[2]).shall(PowerState::Suspended);
    let observed = seen(has_nics(DomainState::Running, &[1], &[1]));
    assert_eq!(decide(&leaving, &observed, at(0)).steps, [Step::Suspend]);
    let stopping = leaving.shall(PowerState::Stopped);
    assert_eq!(
        decide(&stopping, &observed, at(0)).steps,
        [Step::AskShutdown]
    );
    // Its mark is another one: the definition is made anew.
    let mut observed = seen(has_nics(OFF, &[1], &[]));
    observed.wanted.as_mut().unwrap().digest = "with another NIC".to_owned();
    assert_eq!(decide(&stopping, &observed, at(0)).steps, [Step::Define]);
}

#[test]
fn nobody_plugs_into_what_is_not_ours_or_of_an_old_binding() {
    let mut foreign = has_nics(DomainState::Running, &[], &[]);
    (foreign.mark, foreign.running_mark) = (None, None);
    assert_eq!(steps(&[1], foreign), []);
    let mut guest = guest().with_nics(&[1]);
    guest.spec.epoch = 2;
    let decision = decide(
        &guest,
        &seen(has_nics(DomainState::Running, &[], &[])),
        at(0),
    );
    assert_eq!(decision.steps, [Step::Destroy, Step::Define, Step::Start]);
}
