//! `Server`, but for its names: those have `server_names`.

use serde_json::{Value, json};

use super::desk::{Desk, object, with};

const GRACE: &str = "shutdown.grace must be a duration between 0s and 1h, such as 90s or 5m";
const ONE_OF: &str = "userData needs exactly one of inline and secret";

/// A valid server, changed.
pub fn server(change: Value) -> Value {
    object(
        "Server",
        with(json!({"flavor": "m1.tiny", "image": "tiny"}), change),
    )
}

#[tokio::test]
async fn a_server_says_its_defaults() {
    let desk = Desk::open().await;
    let made = desk.accepts(&server(json!({}))).await;
    assert_eq!(made["spec"]["powerState"], "Running");
    assert_eq!(made["spec"]["restartPolicy"], "Always");
}

#[tokio::test]
async fn everything_that_a_server_may_ask_for_is_taken() {
    let desk = Desk::open().await;
    let labels: serde_json::Map<String, Value> = (0..16)
        .map(|label| (format!("example.com/label-{label}"), json!("yes")))
        .collect();
    for change in [
        json!({"networks": []}),
        json!({"keyPairs": ["alice", "bob.home"]}),
        json!({"userData": {"inline": ""}}),
        json!({"userData": {"inline": "x".repeat(65536)}}),
        json!({"userData": {"secret": {"name": "secrets", "key": "user_data.txt"}}}),
        json!({"powerState": "Stopped", "restartPolicy": "OnFailure"}),
        json!({"powerState": "Suspended", "restartPolicy": "Never"}),
        json!({"shutdown": {"grace": "0s"}}),
        json!({"shutdown": {"grace": "1m30s"}}),
        json!({"shutdown": {"grace": "500ms"}}),
        json!({"shutdown": {"grace": "1h"}}),
        json!({"shutdown": {"grace": "3600s"}}),
        json!({"shutdown": {"grace": "1.5s"}}),
        json!({"shutdown": {"grace": "0ns"}}),
        json!({"placement": {"nodeSelector": labels}}),
        json!({"placement": {"nodeSelector": {"empty": ""}}}),
    ] {
        desk.accepts(&server(change)).await;
    }
}

#[tokio::test]
async fn user_data_comes_from_one_place_and_has_a_bound() {
    let desk = Desk::open().await;
    let secret = json!({"name": "a", "key": "b"});
    let cases = [
        (json!({"userData": {}}), ONE_OF),
        (
            json!({"userData": {"inline": "#!/bin/sh", "secret": secret}}),
            ONE_OF,
        ),
        (
            json!({"userData": {"inline": "x".repeat(65537)}}),
            "spec.userData.inline: Too long: may not be more than 65536 bytes",
        ),
        (
            json!({"userData": {"secret": {"name": "a"}}}),
            "spec.userData.secret.key: Required value",
        ),
        (
            json!({"userData": {"secret": {"key": "b"}}}),
            "spec.userData.secret.name: Required value",
        ),
        (
            json!({"userData": {"configMap": {}}}),
            r#"unknown field "spec.userData.configMap""#,
        ),
        (json!({"userData": "#!/bin/sh"}), "spec.userData"),
    ];
    desk.rejects_all(server, &cases).await;
}

#[tokio::test]
async fn the_metadata_service_wants_tokens_or_does_not() {
    let desk = Desk::open().await;
    for (asked, tokens) in [
        (json!({}), "Optional"),
        (json!({"tokens": "Optional"}), "Optional"),
        (json!({"tokens": "Required"}), "Required"),
    ] {
        let made = desk
            .accepts(&server(json!({"metadataService": asked})))
            .await;
        assert_eq!(made["spec"]["metadataService"]["tokens"], tokens);
    }
    let made = desk.accepts(&server(json!({}))).await;
    assert_eq!(made["spec"].get("metadataService"), None);
    let cases = [
        (
            json!({"metadataService": {"tokens": "required"}}),
            r#"spec.metadataService.tokens: Unsupported value: "required": supported values: "Optional", "Required""#,
        ),
        (
            json!({"metadataService": {"tokens": true}}),
            "spec.metadataService.tokens",
        ),
        (
            json!({"metadataService": {"enabled": false}}),
            r#"unknown field "spec.metadataService.enabled""#,
        ),
        (
            json!({"metadataService": "Required"}),
            "spec.metadataService",
        ),
    ];
    desk.rejects_all(server, &cases).await;
}

#[tokio::test]
async fn networks_are_networks_or_ports() {
    let desk = Desk::open().await;
    for networks in [
        json!([{"network": "private"}]),
        json!([{"network": "shop/shared"}, {"network": "private"}, {"port": "mine"}]),
        json!([{"network": "a"}, {"network": "a", "name": "second", "addresses": ["10.0.0.5", "2001:db8::5"]}]),
        json!([{"network": "a", "securityGroups": ["web", "default"]}]),
        json!([{"network": "a", "securityGroups": []}]),
    ] {
        desk.accepts(&server(json!({"networks": networks}))).await;
    }
    let one_of = "a NIC needs exactly one of network and port";
    let own = "name, addresses and securityGroups are for a NIC with network: a port has its own";
    let cases = [
        (json!({"networks": [{}]}), one_of),
        (json!({"networks": [{"network": "a", "port": "b"}]}), one_of),
        (json!({"networks": [{"port": "b", "name": "c"}]}), own),
        (
            json!({"networks": [{"port": "b", "addresses": ["10.0.0.1"]}]}),
            own,
        ),
        (
            json!({"networks": [{"port": "b", "securityGroups": []}]}),
            own,
        ),
        (
            json!({"networks": [{"port": "b"}, {"port": "b"}]}),
            "two of networks name the same port",
        ),
        (
            json!({"networks": [{"network": "a", "addresses": ["10.0.0.300"]}]}),
            "addresses must be IP addresses of the network's subnets",
        ),
        (
            json!({"networks": [{"network": "A"}]}),
            "network must be the name of a Network",
        ),
    ];
    desk.rejects_all(server, &cases).await;
    let made = desk.accepts(&server(json!({}))).await;
    desk.changes(&made, json!({"spec": {"networks": [{"network": "a"}]}}))
        .await;
    let many = vec![json!({"network": "a"}); 17];
    let says = "spec.networks: Too many: 17: must have at most 16 items";
    desk.rejects(&server(json!({"networks": many})), says).await;
}

#[tokio::test]
async fn absurd_times_to_power_off_are_refused() {
    let desk = Desk::open().await;
    for grace in [
        "-1s",
        "2h",
        "1h1ms",
        "61m",
        "3600.1s",
        "99999h",
        "9999999999h",
        "soon",
        "",
        "60",
        "1 m",
        "1m\n",
        "1s1m",
        "1d",
        "\"1m\"",
    ] {
        desk.rejects(&server(json!({"shutdown": {"grace": grace}})), GRACE)
            .await;
    }
    let cases = [
        (
            json!({"shutdown": {"grace": 60}}),
            "spec.shutdown.grace: Invalid value",
        ),
        (
            json!({"shutdown": {}}),
            "spec.shutdown.grace: Required value",
        ),
    ];
    desk.rejects_all(server, &cases).await;
}

#[tokio::test]
async fn words_that_nobody_knows_are_refused() {
    let desk = Desk::open().await;
    let cases = [
        (
            json!({"powerState": "Sleeping"}),
            r#"spec.powerState: Unsupported value: "Sleeping": supported values: "Running", "Stopped", "Paused", "Suspended""#,
        ),
        (
            json!({"powerState": "running"}),
            r#"spec.powerState: Unsupported value: "running""#,
        ),
        (
            json!({"restartPolicy": "Sometimes"}),
            r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
        ),
        (json!({"flavour": "m1"}), r#"unknown field "spec.flavour""#),
        (
            json!({"placement": {"node": "n1"}}),
            r#"unknown field "spec.placement.node""#,
        ),
        (json!({"flavor": null}), "spec.flavor: Required value"),
        (json!({"image": null}), "spec.image: Required value"),
    ];
    desk.rejects_all(server, &cases).await;
}

#[tokio::test]
async fn a_node_selector_has_bounds() {
    let desk = Desk::open().await;
    let selector = |labels: Value| json!({"placement": {"nodeSelector": labels}});
    let many: serde_json::Map<String, Value> = (0..17)
        .map(|label| (format!("label-{label}"), json!("yes")))
        .collect();
    let mut long = serde_json::Map::new();
    long.insert("x".repeat(318), json!("yes"));
    let cases = [
        (
            selector(many.into()),
            "spec.placement.nodeSelector: Too many: 17: must have at most 16 items",
        ),
        (
            selector(long.into()),
            "nodeSelector names a label that is longer than Kubernetes' labels, 317 characters",
        ),
        (
            selector(json!({"zone": "x".repeat(64)})),
            "spec.placement.nodeSelector.zone: Too long: may not be more than 63 bytes",
        ),
        (
            selector(json!({"zone": true})),
            "spec.placement.nodeSelector.zone: Invalid value",
        ),
    ];
    desk.rejects_all(server, &cases).await;
}

#[tokio::test]
async fn what_a_guest_reads_once_cannot_be_changed() {
    let desk = Desk::open().await;
    let made = server(json!({
        "keyPairs": ["alice"], "hostname": "web", "userData": {"inline": "#!/bin/sh"},
    }));
    let made = desk.accepts(&made).await;
    let bare = desk.accepts(&server(json!({}))).await;
    let again = "cannot be changed: delete the server and make another one";
    let once = "cannot be changed: guests read";
    for (spec, says) in [
        (
            json!({"flavor": "m1.large"}),
            format!("spec.flavor {again}"),
        ),
        (json!({"image": "debian"}), format!("spec.image {again}")),
        (
            json!({"userData": {"inline": "#!/bin/bash"}}),
            format!("spec.userData {once} it once"),
        ),
        (
            json!({"keyPairs": ["bob"]}),
            format!("spec.keyPairs {once} them once"),
        ),
        (
            json!({"hostname": "db"}),
            format!("spec.hostname {once} it once"),
        ),
    ] {
        for object in [&made, &bare] {
            desk.refuses_change(object, json!({"spec": spec}), &says)
                .await;
        }
    }
    for (field, says) in [
        ("userData", format!("spec.userData {once} it once")),
        ("keyPairs", format!("spec.keyPairs {once} them once")),
        ("hostname", format!("spec.hostname {once} it once")),
    ] {
        desk.refuses_change(&made, json!({"spec": {field: null}}), &says)
            .await;
    }
}

#[tokio::test]
async fn what_an_owner_may_change_can_be_changed() {
    let desk = Desk::open().await;
    let mut made = desk.accepts(&server(json!({}))).await;
    for spec in [
        json!({"powerState": "Paused"}),
        json!({"restartPolicy": "Never"}),
        json!({"shutdown": {"grace": "10s"}}),
        json!({"description": "new words"}),
        json!({"placement": {"nodeSelector": {"zone": "a"}}}),
    ] {
        let generation = made["metadata"]["generation"].as_i64();
        made = desk.changes(&made, json!({"spec": spec})).await;
        assert!(made["metadata"]["generation"].as_i64() > generation);
    }
}

/// What other programs make of our types is taken, too: Rust writes durations in its own way.
#[tokio::test]
async fn our_own_types_are_written_as_the_schema_has_them() {
    use std::time::Duration;

    use kilonova::api::server::{Server, ServerSpec, Shutdown};

    let desk = Desk::open().await;
    let plain: Server = serde_json::from_value(server(json!({}))).unwrap();
    for grace in [
        Duration::ZERO,
        Duration::from_millis(1),
        Duration::from_micros(1_500_001),
        Duration::from_nanos(1),
        Duration::from_mins(1),
        Duration::from_hours(1),
    ] {
        let spec = ServerSpec {
            shutdown: Some(Shutdown {
                grace: grace.into(),
            }),
            ..plain.spec.clone()
        };
        let spec = serde_json::to_value(spec).unwrap();
        let made = desk.accepts(&server(spec)).await;
        let read: Server = serde_json::from_value(made).unwrap();
        let read = read.spec.shutdown.map(|shutdown| shutdown.grace.into());
        assert_eq!(read, Some(grace));
    }
}
