//! Sizes, wherever users write them: what the API server takes, our types can read.

use serde_json::{Value, json};

use super::desk::Desk;
use super::flavor::flavor;
use super::hypervisor::hypervisor;
use super::image::image;

/// Near every edge: of the schema's bounds, of what fits in 64 bits, of how Kubernetes writes quantities.
fn sizes() -> Vec<Value> {
    let texts = [
        "0",
        "1",
        "000000000000001",
        "15Mi",
        "16Mi",
        "16Ti",
        "17Ti",
        "1Pi",
        "2Pi",
        "16384Pi",
        "18446744073709551616",
        "999999999999999",
        "999999999999999Ti",
        "999999999999999Pi",
        "999999999999999P",
        "99999999k",
        "1Ei",
        "1.5Gi",
        "1e3",
        "100m",
        "-1",
        "",
    ];
    let numbers = [0, 1, 1 << 24, 1 << 44, 1 << 50, (1 << 50) + 1, u64::MAX];
    let texts = texts.into_iter().map(Value::from);
    let numbers = numbers.into_iter().map(Value::from);
    texts.chain(numbers).chain([Value::Null]).collect()
}

fn reserving() -> Value {
    hypervisor(json!({"reserved": {"memory": 0, "disk": 0}}))
}

#[tokio::test]
async fn every_size_that_is_taken_can_be_read() {
    let desk = Desk::open().await;
    let mut taken = 0;
    for size in sizes() {
        for (mut object, field) in [
            (flavor(json!({})), "/memory"),
            (flavor(json!({})), "/disk"),
            (reserving(), "/reserved/memory"),
            (reserving(), "/reserved/disk"),
            (image(json!({"minDisk": 0})), "/minDisk"),
            (image(json!({"minMemory": 0})), "/minMemory"),
        ] {
            let place = object.pointer_mut(&format!("/spec{field}"));
            *place.expect("the field is there") = size.clone();
            taken += usize::from(desk.takes(&object).await);
        }
    }
    // 16Mi, 16Ti, 16777216 and 2^44 by all; 0, 1 and their like by images and hypervisors only; null where it means absent.
    assert!(taken > 20, "{taken} were taken");
}

#[tokio::test]
async fn a_default_takes_the_place_of_null() {
    let desk = Desk::open().await;
    let mut asked = hypervisor(json!({}));
    asked["spec"] = json!({"schedulable": null, "overcommit": null, "reserved": {"memory": null, "disk": null}});
    let made = desk.accepts(&asked).await;
    let reserved = json!({"memory": "512Mi", "disk": "1Gi"});
    assert_eq!(made["spec"]["reserved"], reserved);
    assert_eq!(made["spec"]["schedulable"], true);
}
