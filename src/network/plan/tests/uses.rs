//! Who uses a port, and for how long; and what it has before it says so.

use std::sync::Arc;

use serde_json::json;

use super::super::{
    fixtures::{Draft, id, leaving},
    ledger::{Given, Grant, Role},
    world::SERVER_LABEL,
};
use crate::api::address::Mac;

#[test]
fn a_port_that_was_made_for_a_server_stays_until_the_server_lets_go_of_it() {
    let survey = |networks, is_leaving| {
        let mut draft = Draft::default();
        draft
            .plain("shop/front", "10.0.0.0/24")
            .plugged("shop/web-front", "front", "10.0.0.5")
            .server("shop/web", networks, None);
        let labels = [(SERVER_LABEL.to_owned(), id("Server", "shop/web"))];
        Arc::make_mut(&mut draft.ports[0]).metadata.labels = Some(labels.into());
        if is_leaving {
            leaving(&mut draft.ports[0]);
        }
        let findings = draft.survey().findings;
        findings.ports[&id("Port", "shop/web-front")].clone()
    };
    let on_it = || json!([{"network": "front"}]);
    for (networks, is_leaving, used) in [
        (on_it(), false, true),
        (on_it(), true, true),
        // Its guest may still have the NIC.
        (json!([]), false, true),
        (json!([]), true, false),
    ] {
        let finding = survey(networks.clone(), is_leaving);
        let what = format!("{networks}, {is_leaving}: {finding:?}");
        assert_eq!(finding.server.is_some(), used, "{what}");
        assert_eq!(!finding.seen.users.is_empty(), used && is_leaving, "{what}");
    }
}

/// As the allocator gave it, and the port does not say it yet.
fn given(ip: &str) -> Given {
    let grant = Grant {
        role: Role::Own,
        subnet: id("Subnet", "shop/front-v4"),
        label: "front-v4".to_owned(),
        ip: ip.parse().unwrap(),
    };
    Given {
        mac: Some((id("Network", "shop/front"), Mac::of("new"))),
        grants: vec![grant],
    }
}

#[test]
fn what_a_port_was_given_is_made_before_it_says_so_and_lacking_until_then() {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .port("shop/new", "front", json!({}), json!({}));
    let (new, front) = (id("Port", "shop/new"), id("Network", "shop/front"));
    assert!(draft.survey().topology.switches[&front].ports.is_empty());
    draft.given.insert(new.clone(), given("10.0.0.7"));
    let survey = draft.survey();
    let port = &survey.topology.switches[&front].ports[&new];
    assert_eq!(port.mac, Mac::of("new"));
    assert_eq!(port.addresses[0].1.to_string(), "10.0.0.7");
    assert!(!survey.findings.ports[&new].demand.is_empty());
    // Of a network that has gone since, it is of no use.
    draft.networks.clear();
    draft.plain("shop/other", "10.0.0.0/24");
    assert!(!draft.survey().findings.ports[&new].seen.made);
}

#[test]
fn what_somebody_says_that_he_has_beats_what_was_given_to_an_older_port() {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .port("shop/new", "front", json!({}), json!({}))
        .plugged("shop/there", "front", "10.0.0.7");
    draft
        .given
        .insert(id("Port", "shop/new"), given("10.0.0.7"));
    let survey = draft.survey();
    let ports = &survey.topology.switches[&id("Network", "shop/front")].ports;
    assert_eq!(ports[&id("Port", "shop/there")].addresses.len(), 1);
    assert!(ports[&id("Port", "shop/new")].addresses.is_empty());
}
