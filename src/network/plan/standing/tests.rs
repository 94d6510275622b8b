//! Equal facts make an equal status, and each state of things has its words.

use serde_json::json;

use super::*;
use crate::{
    api::port::{Port, PortStatus},
    network::plan::fixtures::{Draft, id, leaving},
};

fn news<'a>(standing: &'a Standing, refused: &'a [Problem]) -> News<'a> {
    News {
        given: None,
        refused,
        standing,
        trouble: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// The status of the first port of a cloud.
fn status(draft: &Draft, standing: &Standing, refused: &[Problem]) -> PortStatus {
    let object: &Port = &draft.ports[0];
    let findings = draft.survey().findings;
    port(
        object,
        &findings.ports[&id("Port", "shop/p")],
        &news(standing, refused),
    )
}

fn said(status: &PortStatus, kind: &str) -> (String, String, String) {
    let said = condition::find(&status.conditions, kind).unwrap();
    (
        said.status.clone(),
        said.reason.clone(),
        said.message.clone(),
    )
}

fn plugged(node: Option<&str>) -> Draft {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .plugged("shop/p", "front", "10.0.0.5");
    draft.server("shop/web", json!([{"port": "p"}]), node);
    draft
}

#[test]
fn a_port_is_ready_when_its_server_can_use_it() {
    let unbound = plugged(None);
    let bound = plugged(Some("n1"));
    let off = Standing::Unknown("networks are off".to_owned());
    let failed = Standing::Failed("no".to_owned());
    for (draft, standing, ready, reason, state) in [
        (
            &unbound,
            Standing::Written,
            "True",
            "Ready",
            NetworkState::Down,
        ),
        (
            &unbound,
            Standing::Pending,
            "False",
            "Pending",
            NetworkState::Build,
        ),
        (
            &bound,
            Standing::Written,
            "False",
            "Pending",
            NetworkState::Down,
        ),
        (&bound, Standing::Up, "True", "Ready", NetworkState::Active),
        (&bound, off, "Unknown", "NoDatabase", NetworkState::Down),
        (&bound, failed, "False", "Failed", NetworkState::Error),
    ] {
        let status = status(draft, &standing, &[]);
        let (truth, why, _) = said(&status, "Ready");
        assert_eq!(
            (truth.as_str(), why.as_str(), status.state),
            (ready, reason, Some(state))
        );
        assert_eq!(said(&status, "Allocated").2, "it has 10.0.0.5");
    }
}

#[test]
fn a_port_says_whether_it_has_port_security() {
    let mut draft = plugged(Some("n1"));
    assert_eq!(status(&draft, &Standing::Up, &[]).port_security, Some(true));
    std::sync::Arc::make_mut(&mut draft.ports[0])
        .spec
        .port_security = Some(false);
    let off = status(&draft, &Standing::Up, &[]);
    assert_eq!(off.port_security, Some(false));
    // What was said stays while its network cannot be seen.
    std::sync::Arc::make_mut(&mut draft.ports[0]).status = Some(off);
    draft.networks.clear();
    assert_eq!(
        status(&draft, &Standing::Up, &[]).port_security,
        Some(false)
    );
}

#[test]
fn equal_facts_make_an_equal_status() {
    let mut draft = plugged(Some("n1"));
    let first = status(&draft, &Standing::Up, &[]);
    std::sync::Arc::make_mut(&mut draft.ports[0]).status = Some(first.clone());
    let mut later = news(&Standing::Up, &[]);
    later.now = Timestamp::from_second(99).unwrap();
    let findings = draft.survey().findings;
    let again = port(
        &draft.ports[0],
        &findings.ports[&id("Port", "shop/p")],
        &later,
    );
    assert_eq!(again, first);
}

#[test]
fn a_full_subnet_and_whoever_keeps_it_are_in_the_words() {
    let mut draft = Draft::default();
    draft.plain("shop/front", "10.0.0.0/24");
    draft.port("shop/p", "front", json!({}), json!({}));
    let full = [Problem::Full {
        subnet: "shop/front-v4".to_owned(),
        size: 253,
        pools: "10.0.0.1 to 10.0.0.254".to_owned(),
    }];
    let waiting = status(&draft, &Standing::Pending, &full);
    for kind in ["Ready", "Allocated"] {
        let (truth, reason, message) = said(&waiting, kind);
        assert_eq!((truth.as_str(), reason.as_str()), ("False", "SubnetFull"));
        assert!(
            message.starts_with("subnet shop/front-v4 has no free address: "),
            "{message}"
        );
    }
    let mut draft = plugged(None);
    leaving(&mut draft.ports[0]);
    let (_, reason, message) = said(&status(&draft, &Standing::Written, &[]), "Ready");
    assert_eq!(reason, "InUse");
    assert_eq!(
        message,
        "being deleted, and in use by server shop/web: delete that first"
    );
}
