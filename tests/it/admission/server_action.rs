//! `ServerAction`.

use serde_json::{Value, json};

use super::desk::{Desk, object, with};

const VERBS: &str = "an action has exactly one verb: reboot, reset or nmi";
const TTL: &str = "ttlAfterFinished must be a duration between 0s and 8760h, such as 720h";

/// A valid action, changed.
pub fn action(change: Value) -> Value {
    object(
        "ServerAction",
        with(json!({"server": "web-1", "reset": {}}), change),
    )
}

#[tokio::test]
async fn every_verb_is_taken_alone() {
    let desk = Desk::open().await;
    for change in [
        json!({}),
        json!({"reset": null, "nmi": {}}),
        json!({"reset": null, "reboot": {"type": "Soft"}}),
        json!({"reset": null, "reboot": {"type": "Hard"}}),
        json!({"ttlAfterFinished": "0s"}),
        json!({"ttlAfterFinished": "1h30m"}),
        json!({"ttlAfterFinished": "8760h"}),
        json!({"ttlAfterFinished": "31536000s"}),
    ] {
        desk.accepts(&action(change)).await;
    }
}

#[tokio::test]
async fn no_verb_and_two_verbs_are_refused() {
    let desk = Desk::open().await;
    let cases = [
        (json!({"reset": null}), VERBS),
        (json!({"nmi": {}}), VERBS),
        (json!({"reboot": {"type": "Hard"}}), VERBS),
        (json!({"nmi": {}, "reboot": {"type": "Hard"}}), VERBS),
        (
            json!({"reset": null, "reboot": {}}),
            "spec.reboot.type: Required value",
        ),
        (
            json!({"reset": null, "reboot": {"type": "Warm"}}),
            r#"spec.reboot.type: Unsupported value: "Warm": supported values: "Soft", "Hard""#,
        ),
        (
            json!({"reset": {"hard": true}}),
            r#"unknown field "spec.reset.hard""#,
        ),
        (json!({"rebuild": {}}), r#"unknown field "spec.rebuild""#),
    ];
    desk.rejects_all(action, &cases).await;
}

#[tokio::test]
async fn absurd_times_and_names_are_refused() {
    let desk = Desk::open().await;
    for ttl in ["-1s", "8761h", "9999h9999h", "1d", "soon", "", "1h\n", "10"] {
        desk.rejects(&action(json!({"ttlAfterFinished": ttl})), TTL)
            .await;
    }
    for server in ["", "Web", "web 1", "web\"1", "web\n", "<web/>", "shop/web"] {
        let says = "server must be the name of a Server of this project";
        desk.rejects(&action(json!({"server": server})), says).await;
    }
    desk.rejects(
        &action(json!({"server": null})),
        "spec.server: Required value",
    )
    .await;
}

#[tokio::test]
async fn an_action_stays_as_it_was_asked_for() {
    let desk = Desk::open().await;
    let made = desk.accepts(&action(json!({}))).await;
    for spec in [
        json!({"server": "web-2"}),
        json!({"reset": null, "nmi": {}}),
        json!({"ttlAfterFinished": "1h"}),
    ] {
        desk.refuses_change(
            &made,
            json!({"spec": spec}),
            "an action cannot be changed: make another one",
        )
        .await;
    }
}
