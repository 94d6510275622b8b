//! What is done about a server, step by step, in every place of its life.

use super::*;
use crate::{
    api::{
        guest::GuestAction,
        server::{PowerState, RestartPolicy, ServerStatus, Shutdown},
        server_action::Verb,
    },
    compute::plan::fixtures::{
        NODE, SMALL, UID, bound, claimed, guest, leaving, observed, observed_with, port, ports,
        refusal, resolved, server, with_networks,
    },
};

/// The steps by name, in their order.
fn steps(decision: &Decision) -> Vec<&'static str> {
    let name = |step: &Step| match step {
        Step::Hold => "Hold",
        Step::Claim => "Claim",
        Step::MakePort(_) => "MakePort",
        Step::DeletePort(_) => "DeletePort",
        Step::WriteSeed(_) => "WriteSeed",
        Step::WriteGuest(_) => "WriteGuest",
        Step::DeleteGuest(_) => "DeleteGuest",
        Step::DeleteSeed(_) => "DeleteSeed",
        Step::Forget => "Forget",
        Step::Release => "Release",
    };
    decision.steps.iter().map(name).collect()
}

fn written(decision: &Decision) -> &Guest {
    let guest = decision.steps.iter().find_map(|step| match step {
        Step::WriteGuest(guest) => Some(guest),
        _ => None,
    });
    guest.expect("a guest is written")
}

fn placed() -> Observed {
    Observed {
        resolution: Some(Ok(resolved())),
        placement: Some(Ok(Placement {
            node: NODE.to_owned(),
        })),
        ..observed()
    }
}

fn unresolved() -> Unresolved {
    Unresolved::NoFlavor("small".to_owned())
}

#[test]
fn an_unbound_server_is_held_then_claimed_then_told_to_its_node() {
    let decision = decide(&server(), &placed());
    assert_eq!(
        steps(&decision),
        ["Hold", "Claim", "WriteSeed", "WriteGuest"]
    );
    let binding = Binding {
        node: NODE.to_owned(),
        epoch: 1,
        resources: SMALL,
    };
    assert_eq!(decision.binding, Some(binding));
    assert_eq!(decision.progress, Progress::Told);
    assert_eq!(written(&decision).spec.epoch, 1);
}

#[test]
fn a_server_that_is_held_already_is_not_held_again() {
    let mut server = server();
    server.metadata.finalizers = Some(vec!["else/where".to_owned(), FINALIZER.to_owned()]);
    let decision = decide(&server, &placed());
    assert_eq!(steps(&decision), ["Claim", "WriteSeed", "WriteGuest"]);
}

/// Otherwise it could be deleted, and its guest would run on.
#[test]
fn a_server_that_somebody_let_go_of_is_held_again() {
    let mut server = bound();
    server.metadata.finalizers = None;
    let decision = decide(&server, &observed_with(guest()));
    assert_eq!(steps(&decision), ["Hold"]);
    let untold = Observed {
        resolution: Some(Ok(resolved())),
        ..observed()
    };
    let decision = decide(&server, &untold);
    assert_eq!(steps(&decision), ["Hold", "WriteSeed", "WriteGuest"]);
}

/// A claim that was not written is none, whatever was decided.
#[test]
fn what_holds_is_what_the_server_s_status_says() {
    let decision = decide(&server(), &placed());
    assert!(decision.binding.is_some());
    assert_eq!(decision.as_far_as(&server()).binding, None);
    let decision = decide(&server(), &placed());
    assert_eq!(decision.as_far_as(&bound()).binding, Binding::of(&bound()));
}

/// A node that still runs the guest of an earlier binding can tell it from the newer one.
#[test]
fn each_binding_has_a_higher_number_than_the_one_before() {
    let mut server = server();
    server.status = Some(ServerStatus {
        epoch: Some(41),
        ..ServerStatus::default()
    });
    let decision = decide(&server, &placed());
    assert_eq!(decision.binding.map(|binding| binding.epoch), Some(42));
}

/// Half a claim is none: the three fields are written at once.
#[test]
fn half_a_claim_is_none() {
    for forget in [
        (|status: &mut ServerStatus| status.node = None) as fn(&mut ServerStatus),
        |status| status.epoch = None,
        |status| status.allocated = None,
    ] {
        let mut server = bound();
        assert!(Binding::of(&server).is_some());
        forget(server.status.as_mut().unwrap());
        assert_eq!(Binding::of(&server), None);
    }
}

#[test]
fn what_cannot_be_made_or_placed_leaves_no_trace() {
    let unschedulable = Observed {
        placement: Some(Err(refusal())),
        ..placed()
    };
    let wrong = Observed {
        resolution: Some(Err(unresolved())),
        placement: None,
        ..observed()
    };
    for (observed, progress) in [
        (unschedulable, Progress::Unschedulable(refusal())),
        (wrong, Progress::Unresolved(unresolved())),
    ] {
        let decision = decide(&server(), &observed);
        assert!(decision.steps.is_empty());
        assert_eq!(decision.binding, None);
        assert_eq!(decision.progress, progress);
    }
}

/// The operator died between the claim and the guest: the next one goes on under the same claim.
#[test]
fn a_bound_server_without_a_guest_is_told_to_its_node_under_the_same_claim() {
    let observed = Observed {
        resolution: Some(Ok(resolved())),
        ..observed()
    };
    let decision = decide(&bound(), &observed);
    assert_eq!(steps(&decision), ["WriteSeed", "WriteGuest"]);
    assert_eq!(decision.binding, Binding::of(&bound()));
    assert_eq!(written(&decision).spec.epoch, 2);
}

#[test]
fn a_bound_server_that_cannot_be_made_any_more_keeps_its_claim_and_waits() {
    let observed = Observed {
        resolution: Some(Err(unresolved())),
        ..observed()
    };
    let decision = decide(&bound(), &observed);
    assert!(decision.steps.is_empty());
    assert_eq!(decision.binding, Binding::of(&bound()));
    assert_eq!(decision.progress, Progress::Unresolved(unresolved()));
}

#[test]
fn nothing_is_done_when_nothing_has_changed() {
    let decision = decide(&bound(), &observed_with(guest()));
    assert!(decision.steps.is_empty());
    assert_eq!(decision.progress, Progress::Told);
}

/// An action is the business of another controller: it is neither a change nor taken away.
#[test]
fn an_action_in_the_guest_is_no_change() {
    let mut told = guest();
    told.spec.action = Some(GuestAction {
        id: "action-uid".to_owned(),
        verb: Verb::Reset,
    });
    assert!(
        decide(&bound(), &observed_with(told.clone()))
            .steps
            .is_empty()
    );
    let mut server = bound();
    server.spec.power_state = PowerState::Stopped;
    let decision = decide(&server, &observed_with(told));
    assert_eq!(written(&decision).spec.action, None);
}

#[test]
fn what_an_owner_may_change_is_passed_on() {
    let grace = Shutdown {
        grace: std::time::Duration::from_secs(5).into(),
    };
    let change: [fn(&mut Server); 2] = [
        |server| server.spec.power_state = PowerState::Paused,
        |server| server.spec.restart_policy = RestartPolicy::Never,
    ];
    for change in change {
        let mut server = bound();
        change(&mut server);
        let decision = decide(&server, &observed_with(guest()));
        assert_eq!(steps(&decision), ["WriteGuest"]);
        assert_eq!(written(&decision).spec.power, server.spec.power_state);
        assert_eq!(
            written(&decision).spec.restart_policy,
            server.spec.restart_policy
        );
    }
    let mut server = bound();
    server.spec.shutdown = Some(grace);
    let decision = decide(&server, &observed_with(guest()));
    assert_eq!(written(&decision).spec.shutdown_grace_seconds, 5);
}

/// Words about a server are not its node's business, and cost no write.
#[test]
fn what_does_not_concern_the_node_is_not_passed_on() {
    let mut server = bound();
    server.spec.description = Some("new words".to_owned());
    server.spec.placement = Some(crate::api::server::Placement::default());
    assert!(decide(&server, &observed_with(guest())).steps.is_empty());
}

#[test]
fn a_server_that_leaves_retires_its_guest_before_it_deletes_it() {
    let decision = decide(&leaving(bound()), &observed_with(guest()));
    assert_eq!(steps(&decision), ["WriteGuest", "DeleteGuest"]);
    assert!(written(&decision).spec.retired);
    assert_eq!(decision.progress, Progress::Leaving);
    assert_eq!(decision.binding, Binding::of(&bound()));
}

#[test]
fn a_guest_that_was_deleted_by_hand_is_retired_when_its_server_leaves() {
    let decision = decide(&leaving(bound()), &observed_with(leaving(guest())));
    assert_eq!(steps(&decision), ["WriteGuest"]);
    assert!(written(&decision).spec.retired);
}

#[test]
fn a_server_that_leaves_waits_for_its_node_to_let_go() {
    let mut retired = guest();
    retired.spec.retired = true;
    let decision = decide(&leaving(bound()), &observed_with(retired.clone()));
    assert_eq!(steps(&decision), ["DeleteGuest"]);
    let decision = decide(&leaving(bound()), &observed_with(leaving(retired)));
    assert!(decision.steps.is_empty());
    assert_eq!(decision.progress, Progress::Leaving);
}

#[test]
fn when_its_node_has_let_go_the_seed_the_claim_and_the_server_go_in_this_order() {
    let decision = decide(&leaving(bound()), &observed());
    assert_eq!(steps(&decision), ["DeleteSeed", "Forget", "Release"]);
    assert!(matches!(&decision.steps[0], Step::DeleteSeed(node) if node == NODE));
    assert_eq!(decision.progress, Progress::Gone);
}

#[test]
fn a_server_that_never_had_a_node_just_goes() {
    let decision = decide(&leaving(server()), &placed());
    assert_eq!(steps(&decision), ["Forget", "Release"]);
    assert_eq!(decision.progress, Progress::Gone);
}

/// A node that is away may still run the guest: silence alone lets nothing go.
#[test]
fn a_silent_node_is_waited_for() {
    let observed = Observed {
        node: NodeVoice::Silent,
        ..observed_with(leaving(guest()))
    };
    let decision = decide(&leaving(bound()), &observed);
    assert!(!steps(&decision).contains(&"Release"));
    let decision = decide(&bound(), &observed);
    assert_eq!(
        decision.binding.map(|binding| binding.node).as_deref(),
        Some(NODE)
    );
}

#[test]
fn the_seed_and_the_guest_lie_beside_each_other_under_the_server_s_uid() {
    let decision = decide(&server(), &placed());
    let Some(Step::WriteSeed(seed)) = decision.steps.get(2) else {
        panic!("{:?}", steps(&decision));
    };
    assert_eq!(seed.metadata.name.as_deref(), Some(UID));
    let guest = written(&decision);
    assert_eq!(seed.metadata.namespace, guest.metadata.namespace);
    assert_eq!(guest.spec.seed_secret, UID);
}

fn with_ports(observed: Observed, all: impl IntoIterator<Item = Port>) -> Observed {
    Observed {
        ports: ports(all),
        ..observed
    }
}

/// No place is taken for a server that could not use it, and its guest is told of its addresses at once.
#[test]
fn a_server_gets_its_ports_and_then_its_place() {
    let server = with_networks(&["front", "back"]);
    let unplaced = Observed {
        placement: None,
        ..placed()
    };
    let decision = decide(&server, &with_ports(unplaced, []));
    assert_eq!(steps(&decision), ["Hold", "MakePort", "MakePort"]);
    assert_eq!(decision.binding, None);
    let Progress::Unconnected(trouble) = &decision.progress else {
        panic!("{:?}", decision.progress);
    };
    assert!(trouble.is_brief());

    let half = [claimed("web-1-front", 1), port("web-1-back", 2)];
    let decision = decide(&server, &with_ports(placed(), half));
    assert_eq!(steps(&decision), [""; 0]);
    assert_eq!(decision.binding, None);

    let both = [claimed("web-1-front", 1), claimed("web-1-back", 2)];
    let decision = decide(&server, &with_ports(placed(), both));
    assert_eq!(
        steps(&decision),
        ["Hold", "Claim", "WriteSeed", "WriteGuest"]
    );
    let nics = written(&decision).spec.nics.iter();
    let nics: Vec<&str> = nics.map(|nic| nic.name.as_str()).collect();
    assert_eq!(nics, ["web-1-front", "web-1-back"]);
    let seed = decision.steps.iter().find_map(|step| match step {
        Step::WriteSeed(seed) => seed.data.clone(),
        _ => None,
    });
    assert!(seed.unwrap().contains_key("network-config"));
}

#[test]
fn what_cannot_be_made_or_connected_makes_no_ports() {
    let server = with_networks(&["front", "front"]);
    let decision = decide(&server, &placed());
    assert_eq!(steps(&decision), [""; 0]);
    let wrong = Observed {
        resolution: Some(Err(unresolved())),
        ..observed()
    };
    let decision = decide(&with_networks(&["front"]), &wrong);
    assert_eq!(steps(&decision), [""; 0]);
}

#[test]
fn networks_come_and_go_while_a_server_runs() {
    let on = |networks: &[&str]| {
        let mut server = bound();
        server.spec.networks = with_networks(networks).spec.networks;
        server
    };
    let (front, back) = (claimed("web-1-front", 1), claimed("web-1-back", 2));
    let mut told = guest();
    let seen = |told: &Guest, all: Vec<Port>| with_ports(observed_with(told.clone()), all);

    // One is added: its port, then its NIC.
    let decision = decide(&on(&["front"]), &seen(&told, vec![]));
    assert_eq!(steps(&decision), ["MakePort"]);
    assert_eq!(decision.progress, Progress::Told);
    let decision = decide(&on(&["front"]), &seen(&told, vec![port("web-1-front", 1)]));
    assert_eq!(steps(&decision), [""; 0]);
    let decision = decide(&on(&["front"]), &seen(&told, vec![front.clone()]));
    assert_eq!(steps(&decision), ["WriteGuest"]);
    told.spec.nics = written(&decision).spec.nics.clone();
    assert_eq!(told.spec.nics.len(), 1);

    // It is replaced: its NIC goes, and its port when the guest has let go.
    let both = vec![front.clone(), back.clone()];
    let decision = decide(&on(&["back"]), &seen(&told, both.clone()));
    assert_eq!(steps(&decision), ["WriteGuest"]);
    assert_eq!(written(&decision).spec.nics[0].name, "web-1-back");
    told.spec.nics = written(&decision).spec.nics.clone();
    told.metadata.generation = Some(2);
    let status = told.status.get_or_insert_default();
    (status.observed_generation, status.nics) =
        (Some(2), vec![front.metadata.uid.clone().unwrap()]);
    assert_eq!(
        steps(&decide(&on(&["back"]), &seen(&told, both.clone()))),
        [""; 0]
    );
    told.status.as_mut().unwrap().nics = vec![back.metadata.uid.clone().unwrap()];
    let decision = decide(&on(&["back"]), &seen(&told, both));
    assert_eq!(steps(&decision), ["DeletePort"]);
}

#[test]
fn ports_go_after_the_guest_and_before_the_server() {
    let mut server = bound();
    server.spec.networks = with_networks(&["front"]).spec.networks;
    let server = leaving(server);
    let front = || [claimed("web-1-front", 1)];
    let decision = decide(&server, &with_ports(observed_with(guest()), front()));
    assert_eq!(steps(&decision), ["WriteGuest", "DeleteGuest"]);
    let decision = decide(&server, &with_ports(observed(), front()));
    assert_eq!(
        steps(&decision),
        ["DeletePort", "DeleteSeed", "Forget", "Release"]
    );
}
