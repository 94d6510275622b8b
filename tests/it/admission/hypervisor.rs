//! `Hypervisor`, whose spec administrators write, and `Guest`, which the operator writes.

use serde_json::{Value, json};

use super::desk::{Desk, object, with};

/// A valid hypervisor, changed.
pub fn hypervisor(change: Value) -> Value {
    object("Hypervisor", with(json!({}), change))
}

/// A valid guest, changed.
pub fn guest(change: Value) -> Value {
    let image =
        json!({"name": "shop/a", "url": "http://a/a", "sha256": "0a".repeat(32), "format": "Raw"});
    let valid = json!({
        "server": {"namespace": "shop", "name": "web-1", "uid": "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0"},
        "epoch": 1, "power": "Running", "restartPolicy": "Always", "shutdownGraceSeconds": 60,
        "vcpus": 1, "memoryMib": 128, "machine": "Q35", "firmware": "Bios", "secureBoot": false, "tpm": false,
        "rootDisk": {"size": "1Gi", "image": image}, "seedSecret": "seed",
    });
    object("Guest", with(valid, change))
}

#[tokio::test]
async fn a_hypervisor_says_all_its_defaults() {
    let desk = Desk::open().await;
    let made = desk.accepts(&hypervisor(json!({}))).await;
    let expected = json!({
        "schedulable": true,
        "overcommit": {"cpuPercent": 400, "memoryPercent": 100, "diskPercent": 100},
        "reserved": {"memory": "512Mi", "disk": "1Gi"},
    });
    assert_eq!(made["spec"], expected);
    let spec = json!({"schedulable": false, "overcommit": {"cpuPercent": 1000}, "reserved": {"memory": "4Gi"}});
    desk.changes(&made, json!({"spec": spec})).await;
}

#[tokio::test]
async fn absurd_promises_are_refused() {
    let desk = Desk::open().await;
    let whole = "must be a whole number with a unit, such as";
    let cases = [
        (
            json!({"overcommit": {"cpuPercent": 0}}),
            "spec.overcommit.cpuPercent in body should be greater than or equal to 1",
        ),
        (
            json!({"overcommit": {"cpuPercent": 10001}}),
            "spec.overcommit.cpuPercent in body should be less than or equal to 10000",
        ),
        (
            json!({"overcommit": {"memoryPercent": 1001}}),
            "spec.overcommit.memoryPercent in body should be less than or equal to 1000",
        ),
        (
            json!({"overcommit": {"diskPercent": -1}}),
            "spec.overcommit.diskPercent in body should be greater than or equal to 1",
        ),
        (json!({"reserved": {"memory": "-1Gi"}}), whole),
        (json!({"reserved": {"disk": "a lot"}}), whole),
        (json!({"reserved": {"disk": "999999999999999Pi"}}), whole),
        (
            json!({"schedulable": "no"}),
            r#"spec.schedulable: Invalid value: "string""#,
        ),
        (
            json!({"maintenance": true}),
            r#"unknown field "spec.maintenance""#,
        ),
    ];
    desk.rejects_all(hypervisor, &cases).await;
}

/// A guest's UID names files and domains on its node: nothing else may ever stand there.
#[tokio::test]
async fn a_guest_is_named_by_a_uid() {
    let desk = Desk::open().await;
    desk.accepts(&guest(json!({}))).await;
    for uid in [
        "",
        "web-1",
        "../../etc",
        "0F1E2D3C-4B5A-4978-8796-A5B4C3D2E1F0",
    ] {
        let guest = guest(json!({"server": {"uid": uid}}));
        desk.rejects(&guest, "spec.server.uid").await;
    }
}
