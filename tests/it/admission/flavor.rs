//! `Flavor`.

use serde_json::{Value, json};

use super::desk::{Desk, object, with};

const MEMORY: &str =
    "memory must be a whole number with a unit, such as 2Gi, between 16Mi and 16Ti";
const DISK: &str = "disk must be a whole number with a unit, such as 20Gi, between 1Mi and 1Pi";

/// A valid flavor, changed.
pub fn flavor(change: Value) -> Value {
    let valid = json!({"vcpus": 2, "memory": "2Gi", "disk": "20Gi"});
    object("Flavor", with(valid, change))
}

#[tokio::test]
async fn sizes_within_their_bounds_are_taken() {
    let desk = Desk::open().await;
    for change in [
        json!({}),
        json!({"vcpus": 1}),
        json!({"vcpus": 255}),
        json!({"memory": "16Mi"}),
        json!({"memory": "16Ti"}),
        json!({"memory": 2_147_483_648_u64}),
        json!({"memory": "2000M"}),
        json!({"disk": "1Mi"}),
        json!({"disk": "1Pi"}),
        json!({"disk": 1_048_576}),
        json!({"description": "quotes \" and <markup> and\nlines are only words"}),
        json!({"cpu": {"model": "Skylake-Server-v4"}}),
        json!({"machine": "Pc", "firmware": "Bios", "tpm": true}),
        json!({"firmware": "Uefi", "secureBoot": true}),
        json!({"secureBoot": false}),
        // The image may give UEFI.
        json!({"secureBoot": true}),
    ] {
        desk.accepts(&flavor(change)).await;
    }
}

#[tokio::test]
async fn absurd_memory_is_refused() {
    let desk = Desk::open().await;
    for memory in [
        json!("0"),
        json!(0),
        json!("15Mi"),
        json!(1024),
        json!("17Ti"),
        json!(17_592_186_044_417_u64),
        json!("-1Gi"),
        json!("4gb"),
        json!("4GiB"),
        json!("4 Gi"),
        json!("1.5Gi"),
        json!("1e3"),
        json!("+4Gi"),
        json!(""),
        json!("2Gi\n"),
        json!("\"2Gi\""),
        json!("<b>2Gi</b>"),
    ] {
        desk.rejects(&flavor(json!({"memory": memory})), MEMORY)
            .await;
    }
    let valid = flavor;
    let outright = [
        (
            json!({"memory": -1}),
            "should be greater than or equal to 0",
        ),
        (json!({"memory": "99999999999999999999"}), "spec.memory: "),
        (json!({"memory": 1.5}), "spec.memory: Invalid value"),
        (json!({"memory": null}), "spec.memory: Required value"),
        (json!({"memory": {"gib": 4}}), "spec.memory"),
    ];
    desk.rejects_all(valid, &outright).await;
}

#[tokio::test]
async fn absurd_disks_are_refused() {
    let desk = Desk::open().await;
    for disk in [
        json!("0"),
        json!(0),
        json!("1023Ki"),
        json!("2Pi"),
        json!("-20Gi"),
        json!("20gb"),
        json!("a lot"),
    ] {
        desk.rejects(&flavor(json!({"disk": disk})), DISK).await;
    }
    let outright = [
        (json!({"disk": -1}), "should be greater than or equal to 0"),
        (json!({"disk": null}), "spec.disk: Required value"),
    ];
    desk.rejects_all(flavor, &outright).await;
}

#[tokio::test]
async fn what_no_machine_has_is_refused() {
    let desk = Desk::open().await;
    let model = "cpu.model must be a CPU model by libvirt's name";
    let long = "x".repeat(1025);
    let cases = [
        (
            json!({"vcpus": 0}),
            "spec.vcpus in body should be greater than or equal to 1",
        ),
        (
            json!({"vcpus": -1}),
            "spec.vcpus in body should be greater than or equal to 1",
        ),
        (
            json!({"vcpus": 256}),
            "spec.vcpus in body should be less than or equal to 255",
        ),
        (json!({"vcpus": "two"}), "spec.vcpus: Invalid value"),
        (json!({"vcpus": 1.5}), "spec.vcpus: Invalid value"),
        (json!({"vcpus": null}), "spec.vcpus: Required value"),
        (
            json!({"secureBoot": true, "firmware": "Bios"}),
            "secureBoot needs firmware: Uefi",
        ),
        (
            json!({"firmware": "Coreboot"}),
            r#"spec.firmware: Unsupported value: "Coreboot": supported values: "Bios", "Uefi""#,
        ),
        (
            json!({"machine": "q35"}),
            r#"spec.machine: Unsupported value: "q35": supported values: "Q35", "Pc""#,
        ),
        (json!({"cpu": {"model": "Xeon\" x=\""}}), model),
        (json!({"cpu": {"model": "Xeon\n"}}), model),
        (json!({"cpu": {"model": "<Xeon/>"}}), model),
        (json!({"cpu": {"model": ""}}), model),
        (
            json!({"cpu": {"model": "x".repeat(65)}}),
            "spec.cpu.model: Too long: may not be more than 64 bytes",
        ),
        (
            json!({"description": long}),
            "spec.description: Too long: may not be more than 1024 bytes",
        ),
        (json!({"ram": "2Gi"}), r#"unknown field "spec.ram""#),
        (
            json!({"cpu": {"model": "Nehalem", "pinned": true}}),
            r#"unknown field "spec.cpu.pinned""#,
        ),
    ];
    desk.rejects_all(flavor, &cases).await;
}

#[tokio::test]
async fn a_flavor_stays_as_it_was_made() {
    let desk = Desk::open().await;
    let made = desk.accepts(&flavor(json!({}))).await;
    for spec in [
        json!({"memory": "4Gi"}),
        json!({"vcpus": 4}),
        json!({"tpm": true}),
        json!({"description": "new words"}),
    ] {
        desk.refuses_change(
            &made,
            json!({"spec": spec}),
            "a flavor cannot be changed: make another one, and name it in new servers",
        )
        .await;
    }
    desk.changes(&made, json!({"metadata": {"labels": {"team": "a"}}}))
        .await;
}
