//! How a server's status tells each place of its life.

use super::*;
use crate::{
    api::{port::Port, server_action::Verb},
    compute::plan::{
        fixtures::{
            acting, at, bound, claimed, condition, guest, leaving, observed, observed_with, port,
            ports, refusal, resolved, server, told, with_networks,
        },
        ports as plan_ports,
        resolve::Unresolved,
        scheduler::Placement,
        server::decide,
    },
};

fn ready() -> Condition {
    condition("Ready", "True", "Running", "the guest runs")
}

/// The status of a server whose node has this guest.
fn stands(server: &Server, guest: Guest) -> ServerStatus {
    reported(server, &observed_with(guest))
}

fn reported(server: &Server, observed: &Observed) -> ServerStatus {
    report(server, observed, &decide(server, observed), None, at(100))
}

fn says<'a>(status: &'a ServerStatus, kind: &str) -> (&'a str, &'a str, &'a str) {
    let condition = condition::find(&status.conditions, kind).unwrap();
    (&condition.status, &condition.reason, &condition.message)
}

#[test]
fn the_state_follows_what_the_guest_does() {
    for (power, state) in [
        (None, ServerState::Build),
        (Some(PowerState::Running), ServerState::Active),
        (Some(PowerState::Stopped), ServerState::Shutoff),
        (Some(PowerState::Paused), ServerState::Paused),
        (Some(PowerState::Suspended), ServerState::Suspended),
    ] {
        let status = stands(&bound(), told(power, vec![ready()]));
        assert_eq!(status.state, Some(state));
        assert_eq!(status.power_state, power);
    }
}

#[test]
fn reboots_that_are_under_way_have_words_of_their_own() {
    use ActionState::{Failed, Pending, Running, Succeeded};
    for (verb, action, state) in [
        (Verb::SoftReboot, Running, ServerState::Reboot),
        (Verb::HardReboot, Running, ServerState::HardReboot),
        (Verb::Reset, Running, ServerState::Active),
        (Verb::Nmi, Running, ServerState::Active),
        (Verb::SoftReboot, Pending, ServerState::Active),
        (Verb::SoftReboot, Succeeded, ServerState::Active),
        (Verb::HardReboot, Failed, ServerState::Active),
    ] {
        let guest = told(Some(PowerState::Running), vec![ready()]);
        let status = stands(&bound(), acting(guest, verb, action));
        assert_eq!(status.state, Some(state), "{verb:?} {action:?}");
    }
}

#[test]
fn a_reboot_of_another_time_is_not_under_way() {
    let guest = told(Some(PowerState::Running), vec![ready()]);
    let mut guest = acting(guest, Verb::HardReboot, ActionState::Running);
    guest.spec.action.as_mut().unwrap().id = "newer".to_owned();
    assert_eq!(stands(&bound(), guest).state, Some(ServerState::Active));
}

#[test]
fn a_server_waits_for_its_first_words_in_build() {
    let unplaced = Observed {
        resolution: Some(Ok(resolved())),
        placement: Some(Err(refusal())),
        ..observed()
    };
    let status = reported(&server(), &unplaced);
    assert_eq!(status.state, Some(ServerState::Build));
    let said = "there is no hypervisor yet: label a node with kilonova.dev/hypervisor=true";
    assert_eq!(says(&status, "Scheduled"), ("False", "NoHypervisor", said));
    assert_eq!(says(&status, "Ready"), ("False", "NoHypervisor", said));
    assert_eq!(says(&status, "Resolved").0, "True");
    assert_eq!(says(&status, "Running").0, "Unknown");
    assert_eq!(says(&status, "Stalled").0, "False");
    assert_eq!((status.node, status.fault), (None, None));

    let placed = Observed {
        placement: Some(Ok(Placement {
            node: "n1".to_owned(),
        })),
        ..unplaced
    };
    let status = reported(&server(), &placed);
    assert_eq!(status.state, Some(ServerState::Build));
    assert_eq!(
        says(&status, "Scheduled"),
        ("True", "Bound", "hypervisor n1 has it")
    );
    assert_eq!(
        says(&status, "Ready"),
        ("False", "Building", "hypervisor n1 builds it")
    );
    assert_eq!(
        (status.epoch, status.node.as_deref()),
        (Some(1), Some("n1"))
    );
}

#[test]
fn what_cannot_be_made_is_an_error_with_a_fault() {
    let wrong = Observed {
        resolution: Some(Err(Unresolved::NoFlavor("small".to_owned()))),
        ..observed()
    };
    let status = reported(&server(), &wrong);
    let said = "there is no flavor \"small\": `kubectl get flavors` lists what there is";
    assert_eq!(status.state, Some(ServerState::Error));
    for (kind, truth) in [
        ("Resolved", "False"),
        ("Stalled", "True"),
        ("Ready", "False"),
    ] {
        assert_eq!(says(&status, kind), (truth, "FlavorNotFound", said));
    }
    assert_eq!(says(&status, "Scheduled").0, "Unknown");
    let fault = status.fault.unwrap();
    assert_eq!((fault.message.as_str(), fault.time.0), (said, at(100)));
}

#[test]
fn what_stalls_on_the_node_is_an_error_whatever_the_guest_does() {
    let stalled = condition(
        "Stalled",
        "True",
        "ImageRefused",
        "the file has a backing file",
    );
    for power in [None, Some(PowerState::Running)] {
        let status = stands(&bound(), told(power, vec![stalled.clone()]));
        assert_eq!(status.state, Some(ServerState::Error));
        let said = ("ImageRefused", "the file has a backing file");
        assert_eq!(says(&status, "Stalled"), ("True", said.0, said.1));
        assert_eq!(says(&status, "Ready"), ("False", said.0, said.1));
        assert_eq!(status.fault.unwrap().message, said.1);
    }
}

#[test]
fn a_fault_keeps_the_time_at_which_it_was_first_seen() {
    let stalled = |message: &str| {
        let stalled = condition("Stalled", "True", "Refused", message);
        observed_with(told(None, vec![stalled]))
    };
    let mut server = bound();
    let first = reported(&server, &stalled("a"));
    server.status = Some(first.clone());
    let decision = decide(&server, &stalled("a"));
    let later = report(&server, &stalled("a"), &decision, None, at(500));
    assert_eq!(later.fault, first.fault);
    let other = report(&server, &stalled("b"), &decision, None, at(500));
    assert_eq!(other.fault.unwrap().time.0, at(500));
    let over = observed_with(told(None, vec![ready()]));
    assert_eq!(reported(&server, &over).fault, None);
}

#[test]
fn a_server_that_leaves_says_whom_it_waits_for() {
    let server = leaving(bound());
    let status = stands(&server, told(Some(PowerState::Running), vec![ready()]));
    assert_eq!(status.state, Some(ServerState::Deleting));
    let said = "waiting for hypervisor n1 to remove it";
    assert_eq!(says(&status, "Ready"), ("False", "Deleting", said));

    let silent = Observed {
        node: NodeVoice::Silent,
        ..observed_with(guest())
    };
    let status = reported(&server, &silent);
    let said = "being deleted, and hypervisor n1 is not heard of: it goes when the host is back; for a host that is gone for good see \"A host that is gone\" in Kilonova's README";
    assert_eq!(says(&status, "Ready"), ("False", "Deleting", said));

    let status = reported(&server, &observed());
    assert_eq!(status.state, Some(ServerState::Deleting));
    assert_eq!(says(&status, "Ready").2, "nothing of it is left");
}

/// The guest most likely runs on: only what the node would have to say now becomes unknown.
#[test]
fn a_silent_node_changes_no_state_but_what_is_known() {
    let running = condition("Running", "True", "Running", "the guest runs");
    let storage = condition("StorageReady", "True", "Built", "the root disk is there");
    let conditions = vec![ready(), running, storage];
    let silent = Observed {
        node: NodeVoice::Silent,
        ..observed_with(told(Some(PowerState::Running), conditions))
    };
    let status = reported(&bound(), &silent);
    let said = "hypervisor n1 is not heard of: if the host runs, so does the server; see `kubectl describe hypervisor n1`";
    assert_eq!(status.state, Some(ServerState::Active));
    assert_eq!(says(&status, "Ready"), ("Unknown", "NodeSilent", said));
    assert_eq!(says(&status, "Running"), ("Unknown", "NodeSilent", said));
    assert_eq!(says(&status, "StorageReady").0, "True");
    assert_eq!(status.node.as_deref(), Some("n1"));
}

#[test]
fn the_node_s_words_count_once_they_speak_of_the_newest_guest() {
    let server = bound();
    let running = told(Some(PowerState::Running), vec![ready()]);
    let status = stands(&server, running.clone());
    assert_eq!(
        says(&status, "Ready"),
        ("True", "Running", "the guest runs")
    );

    let mut stale = running.clone();
    stale.metadata.generation = Some(2);
    let mut asked = server;
    asked.spec.power_state = PowerState::Stopped;
    for status in [stands(&bound(), stale), stands(&asked, running)] {
        let said = "hypervisor n1 has been told";
        assert_eq!(says(&status, "Ready"), ("False", "Progressing", said));
    }
}

#[test]
fn every_condition_is_always_there_in_the_same_order() {
    let kinds = |status: ServerStatus| -> Vec<String> {
        let conditions = status.conditions.into_iter();
        conditions.map(|condition| condition.type_).collect()
    };
    let expected = [
        "Ready",
        "Resolved",
        "Scheduled",
        "NetworkReady",
        "StorageReady",
        "Running",
        "Stalled",
    ];
    assert_eq!(kinds(reported(&server(), &observed())), expected);
    assert_eq!(kinds(stands(&bound(), guest())), expected);
    assert_eq!(kinds(reported(&leaving(bound()), &observed())), expected);
}

/// An equal status is not written, so an idle cloud writes nothing.
#[test]
fn equal_facts_make_an_equal_status_at_any_later_time() {
    let stalled = condition("Stalled", "True", "Refused", "why");
    let facts = [
        observed(),
        observed_with(guest()),
        observed_with(told(Some(PowerState::Running), vec![ready()])),
        observed_with(told(None, vec![stalled])),
        Observed {
            node: NodeVoice::Silent,
            ..observed_with(told(Some(PowerState::Running), vec![ready()]))
        },
    ];
    for observed in facts {
        for mut server in [bound(), leaving(bound())] {
            let first = reported(&server, &observed);
            server.status = Some(first.clone());
            let decision = decide(&server, &observed);
            for later in [101, 1_000_000] {
                assert_eq!(
                    report(&server, &observed, &decision, None, at(later)),
                    first
                );
            }
        }
    }
}

#[test]
fn a_transition_time_moves_with_the_truth_alone() {
    let mut server = bound();
    let waiting = told(
        None,
        vec![condition("Ready", "False", "Downloading", "1 %")],
    );
    let on = told(
        None,
        vec![condition("Ready", "False", "Downloading", "2 %")],
    );
    let done = told(Some(PowerState::Running), vec![ready()]);
    let mut times = Vec::new();
    for (second, guest) in [(10, waiting), (20, on), (30, done)] {
        let observed = observed_with(guest);
        let decision = decide(&server, &observed);
        let status = report(&server, &observed, &decision, None, at(second));
        let ready = condition::find(&status.conditions, "Ready").unwrap();
        times.push(ready.last_transition_time.0);
        server.status = Some(status);
    }
    assert_eq!(times, [at(10), at(10), at(30)]);
}

#[test]
fn what_the_guest_counts_and_dates_is_passed_on() {
    let mut guest = told(Some(PowerState::Running), vec![ready()]);
    let status = guest.status.as_mut().unwrap();
    status.restarts = Some(7);
    status.started_at = Some(crate::compute::plan::fixtures::time(42));
    let status = stands(&bound(), guest);
    assert_eq!(status.restarts, Some(7));
    assert_eq!(status.started_at.unwrap().0, at(42));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(
        status.id.as_deref(),
        Some(crate::compute::plan::fixtures::UID)
    );
}

/// The next binding needs a higher number, even after the claim was given up.
#[test]
fn the_number_of_the_last_binding_is_never_forgotten() {
    let mut server = bound();
    server.status.as_mut().unwrap().node = None;
    let status = reported(&server, &observed());
    assert_eq!((status.node, status.epoch), (None, Some(2)));
}

/// The server on one network, whose guest has its NIC.
fn connected(power: PowerState, port: Port, plugged: bool) -> ServerStatus {
    let mut server = bound();
    server.spec.networks = with_networks(&["front"]).spec.networks;
    let said = if plugged {
        condition("NetworkReady", "True", "Plugged", "the NICs are plugged in")
    } else {
        condition(
            "NetworkReady",
            "False",
            "PlugPending",
            "not plugged in yet: port web-1-front",
        )
    };
    let mut guest = told(Some(power), vec![ready(), said]);
    guest.spec.power = power;
    server.spec.power_state = power;
    let mut observed = observed_with(guest.clone());
    observed.ports = ports([port]);
    let entries = plan_ports::entries(&server, &observed.ports);
    guest.spec.nics = plan_ports::nics(&entries, &[]);
    observed.guest = Some(std::sync::Arc::new(guest));
    reported(&server, &observed)
}

fn with_word(truth: &str, message: &str) -> Port {
    let mut port = claimed("web-1-front", 1);
    let status = port.status.get_or_insert_default();
    status.conditions = vec![condition("Ready", truth, "Said", message)];
    port
}

#[test]
fn a_server_without_networks_has_all_the_network_that_it_asks_for() {
    let status = stands(&bound(), told(Some(PowerState::Running), vec![ready()]));
    assert_eq!(says(&status, "NetworkReady").1, "NoNetworks");
    assert_eq!(says(&status, "Ready").0, "True");
}

#[test]
fn a_server_is_ready_when_its_ports_are() {
    let status = connected(PowerState::Running, with_word("True", ""), true);
    assert_eq!(says(&status, "NetworkReady").0, "True");
    assert_eq!(says(&status, "Ready").0, "True");
    assert_eq!(status.addresses[0].network, "shop/front");

    let status = connected(
        PowerState::Running,
        with_word("False", "its flows are not there yet"),
        true,
    );
    let said = "port shop/web-1-front: its flows are not there yet";
    assert_eq!(
        says(&status, "NetworkReady"),
        ("False", "PortNotReady", said)
    );
    assert_eq!(says(&status, "Ready"), ("False", "PortNotReady", said));
    assert_eq!(status.state, Some(ServerState::Active));

    let status = connected(PowerState::Running, with_word("True", ""), false);
    assert_eq!(says(&status, "NetworkReady").1, "PlugPending");
    assert_eq!(says(&status, "Ready").1, "PlugPending");
}

/// Flows are made for NICs that are there: a server that is off as asked is ready.
#[test]
fn a_server_that_is_off_needs_no_flows() {
    let status = connected(PowerState::Stopped, with_word("False", "no flows"), true);
    assert_eq!(says(&status, "NetworkReady").0, "True");
    assert_eq!(says(&status, "Ready").0, "True");
}

#[test]
fn a_server_that_waits_for_a_port_says_so() {
    let mut full = port("web-1-front", 1);
    let said = condition(
        "Allocated",
        "False",
        "Full",
        "subnet shop/a has no free address",
    );
    full.status.get_or_insert_default().conditions = vec![said];
    let waits = Observed {
        resolution: Some(Ok(resolved())),
        ports: ports([full]),
        ..observed()
    };
    let status = reported(&with_networks(&["front"]), &waits);
    let said = "waiting for port shop/web-1-front: subnet shop/a has no free address";
    assert_eq!(status.state, Some(ServerState::Build));
    assert_eq!(says(&status, "Ready"), ("False", "WaitingForPort", said));
    assert_eq!(
        says(&status, "NetworkReady"),
        ("False", "WaitingForPort", said)
    );
    assert_eq!(says(&status, "Resolved").0, "True");
    assert_eq!(says(&status, "Stalled").0, "False");
}

#[test]
fn what_an_owner_must_mend_about_networks_is_a_fault() {
    let wrong = Observed {
        resolution: Some(Ok(resolved())),
        ..observed()
    };
    let status = reported(&with_networks(&["front", "front"]), &wrong);
    assert_eq!(status.state, Some(ServerState::Error));
    for (kind, truth) in [
        ("Resolved", "False"),
        ("Stalled", "True"),
        ("Ready", "False"),
    ] {
        assert_eq!(
            (says(&status, kind).0, says(&status, kind).1),
            (truth, "PortTwice")
        );
    }
    assert!(status.fault.is_some());
}

/// What a guest runs with is not an error because one more NIC cannot be had.
#[test]
fn a_network_that_cannot_be_had_does_not_make_a_running_server_an_error() {
    let mut server = bound();
    server.spec.networks = with_networks(&["front", "front"]).spec.networks;
    let mut observed = observed_with(told(Some(PowerState::Running), vec![ready()]));
    observed.ports = ports([claimed("web-1-front", 1)]);
    let status = reported(&server, &observed);
    assert_eq!(status.state, Some(ServerState::Active));
    assert_eq!(says(&status, "NetworkReady").1, "PortTwice");
}
