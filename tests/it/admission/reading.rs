//! What people read: the status before anybody has looked, columns of `kubectl get`, pages of `kubectl explain`.

use serde_json::{Value, json};

use super::desk::Desk;
use super::flavor::flavor;
use super::hypervisor::{guest, hypervisor};
use super::image::image;
use super::key_pair::key_pair;
use super::server::server;
use super::server_action::action;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/// One object of each kind, its columns, and the columns that `-o wide` adds.
fn kinds() -> Vec<(Value, &'static str, &'static str)> {
    let none = || json!({});
    let mut kinds = vec![
        (
            flavor(none()),
            "READY VCPUS MEMORY DISK AGE",
            "FIRMWARE MESSAGE",
        ),
        (
            image(none()),
            "READY STATE FORMAT SIZE VISIBILITY AGE",
            "ID MESSAGE",
        ),
        (key_pair(KEY), "READY FINGERPRINT AGE", "MESSAGE"),
        (
            server(none()),
            "READY STATE FLAVOR IMAGE HOST AGE",
            "ADDRESSES POWER RESTARTS ID MESSAGE",
        ),
        (action(none()), "READY STATE SERVER VERB AGE", "MESSAGE"),
        (
            hypervisor(none()),
            "READY SCHEDULABLE VCPUS MEMORY DISK AGE",
            "VIRT CPU MESSAGE",
        ),
        (
            guest(none()),
            "READY POWER PROJECT SERVER EPOCH AGE",
            "MESSAGE",
        ),
    ];
    kinds.extend(super::networks::one_of_each());
    kinds
}

#[tokio::test]
async fn an_object_that_nobody_has_looked_at_says_so() {
    let desk = Desk::open().await;
    for (object, ..) in kinds() {
        let made = desk.accepts(&object).await;
        assert_eq!(
            made["status"],
            json!({"observedGeneration": -1}),
            "{}",
            made["kind"]
        );
    }
}

#[tokio::test]
async fn a_status_cannot_be_written_with_the_object() {
    let desk = Desk::open().await;
    let mut mine = server(json!({}));
    mine["status"] = json!({"node": "n1", "epoch": 7});
    let made = desk.accepts(&mine).await;
    assert_eq!(made["status"], json!({"observedGeneration": -1}));
}

#[tokio::test]
async fn every_kind_shows_its_columns() {
    let desk = Desk::open().await;
    for (object, columns, wide) in kinds() {
        let made = desk.accepts(&object).await;
        let kind = made["kind"].as_str().unwrap_or_default().to_lowercase();
        let name = made["metadata"]["name"].as_str().unwrap_or_default();
        let resource = format!("{kind}s.kilonova.dev");
        for (words, expected) in [
            (vec!["get", &resource, name], format!("NAME {columns}")),
            (
                vec!["get", &resource, name, "-o", "wide"],
                format!("NAME {columns} {wide}"),
            ),
        ] {
            let table = desk.cluster.kubectl(&words, "").await.unwrap();
            let header: Vec<&str> = table
                .lines()
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            assert_eq!(header.join(" "), expected.trim(), "{table}");
        }
    }
}

#[tokio::test]
async fn short_names_and_categories_find_the_kinds() {
    let desk = Desk::open().await;
    let made = desk.accepts(&server(json!({}))).await;
    let name = made["metadata"]["name"].as_str().unwrap_or_default();
    for word in ["servers", "server", "kserver"] {
        desk.cluster
            .kubectl(&["get", word, name], "")
            .await
            .unwrap();
    }
    for category in ["kilonova", "all"] {
        let found = desk.cluster.kubectl(&["get", category], "").await.unwrap();
        assert!(found.contains(name), "{category}: {found}");
    }
}

#[tokio::test]
async fn explain_lists_every_field_of_a_server() {
    let desk = Desk::open().await;
    let words = ["explain", "server.spec", "--recursive"];
    let page = desk.cluster.kubectl(&words, "").await.unwrap();
    for line in [
        "description\t<string>",
        "flavor\t<string> -required-",
        "hostname\t<string>",
        "image\t<string> -required-",
        "keyPairs\t<[]string>",
        "networks\t<[]Object>",
        "placement\t<Object>",
        "nodeSelector\t<map[string]string>",
        "powerState\t<string>",
        "enum: Running, Stopped, Paused, Suspended",
        "restartPolicy\t<string>",
        "enum: Always, OnFailure, Never",
        "shutdown\t<Object>",
        "grace\t<string> -required-",
        "userData\t<Object>",
        "inline\t<string>",
        "secret\t<Object>",
    ] {
        assert!(page.contains(line), "{line:?} is missing in:\n{page}");
    }
}

#[tokio::test]
async fn explain_tells_units_defaults_and_what_cannot_change() {
    let desk = Desk::open().await;
    for (field, words) in [
        (
            "server.spec.powerState",
            &[
                "sleep on disk",
                "Default: `Running`",
                "ENUM: Running Stopped Paused Suspended",
            ][..],
        ),
        (
            "server.spec.shutdown.grace",
            &["`0s` to `1h`", "Default: `60s`"],
        ),
        (
            "server.spec.userData",
            &["At most 64 KiB", "Cannot be changed", "exactly one of"],
        ),
        (
            "server.spec.hostname",
            &["Default: the server's name", "Cannot be changed"],
        ),
        ("server.spec.keyPairs", &["at most 16", "first boot"]),
        ("server.spec.image", &["`project/name` for a public one"]),
        (
            "flavor.spec.memory",
            &["`2Gi`", "At least 16Mi, at most 16Ti"],
        ),
        (
            "images.kilonova.dev.spec.source.http.sha256",
            &["as `sha256sum` prints it"],
        ),
        (
            "flavor.spec.firmware",
            &["Default: what the image asks for", "ENUM: Bios Uefi"],
        ),
        ("serveraction.spec.ttlAfterFinished", &["Default: `720h`"]),
        ("hypervisor.spec.overcommit", &["percent"]),
    ] {
        let page = desk.cluster.kubectl(&["explain", field], "").await.unwrap();
        let unbroken: Vec<&str> = page.split_whitespace().collect();
        let unbroken = unbroken.join(" ");
        for word in words {
            assert!(unbroken.contains(word), "{word:?} is missing in:\n{page}");
        }
    }
}
