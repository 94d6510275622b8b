//! Who uses a port, and for how long.

use std::sync::Arc;

use serde_json::json;

use super::super::{
    fixtures::{Draft, id, leaving},
    world::SERVER_LABEL,
};

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
