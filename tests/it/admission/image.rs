//! `Image`.

use serde_json::{Value, json};

use super::desk::{Desk, object, with};

const URL: &str =
    "url must be an address, http://… or https://…, without spaces, line breaks, quotes or markup";
const MIN_DISK: &str = "minDisk must be a whole number with a unit, such as 2Gi, between 0 and 1Pi";
const MIN_MEMORY: &str =
    "minMemory must be a whole number with a unit, such as 256Mi, between 0 and 16Ti";
const SHA256: &str = "sha256 must be 64 lower-case hexadecimal digits, as sha256sum prints them";

/// A valid image, changed.
pub fn image(change: Value) -> Value {
    let http = json!({"url": "https://images.example/a.qcow2", "sha256": "0a".repeat(32)});
    let valid = json!({"source": {"http": http}, "format": "Qcow2"});
    object("Image", with(valid, change))
}

fn at(url: &str) -> Value {
    image(json!({"source": {"http": {"url": url}}}))
}

#[tokio::test]
async fn images_behind_web_addresses_are_taken() {
    let desk = Desk::open().await;
    for url in [
        "http://10.0.0.1:8000/a.raw",
        "https://images.example/path/a%20b.qcow2?token=x&y=z#part",
        "http://[2001:db8::1]/a",
        "https://user:pass@images.example/",
    ] {
        desk.accepts(&at(url)).await;
    }
    for change in [
        json!({"format": "Raw"}),
        json!({"minDisk": "2Gi", "minMemory": 268_435_456}),
        json!({"minDisk": 0, "minMemory": "0"}),
        json!({"visibility": "Public"}),
        json!({"properties": {"firmware": "Uefi", "secureBoot": true, "tpm": true, "machine": "Q35"}}),
    ] {
        desk.accepts(&image(change)).await;
    }
}

#[tokio::test]
async fn what_is_no_web_address_is_refused() {
    let desk = Desk::open().await;
    for url in [
        "",
        "http://",
        "file:///etc/shadow",
        "ftp://images.example/a.qcow2",
        "HTTP://images.example/a",
        "images.example/a.qcow2",
        "nbd:localhost:10809",
        "json:{\"driver\":\"file\"}",
        " https://images.example/a",
        "https://images.example/a b",
        "https://images.example/a\nb",
        "https://images.example/a\n",
        "https://images.example/\"a\"",
        "https://images.example/'a'",
        "https://images.example/<a/>",
        "https://images.example/`id`",
        "https://images.example/a\\b",
        "https://images.example/{a}",
        "https://images.example/a\u{7}",
    ] {
        desk.rejects(&at(url), URL).await;
    }
    let long = format!("https://images.example/{}", "a".repeat(2048));
    desk.rejects(&at(&long), "Too long: may not be more than 2048 bytes")
        .await;
}

#[tokio::test]
async fn what_is_no_digest_is_refused() {
    let desk = Desk::open().await;
    for sha256 in [
        String::new(),
        "0A".repeat(32),
        "0a".repeat(31),
        "0a".repeat(33),
        "0g".repeat(32),
        format!("sha256:{}", "0a".repeat(32)),
        format!("{}\n", "0a".repeat(32)),
        format!("{}  a.qcow2", "0a".repeat(32)),
        format!("../{}", "0a".repeat(30)),
    ] {
        let image = image(json!({"source": {"http": {"sha256": sha256}}}));
        desk.rejects(&image, SHA256).await;
    }
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let desk = Desk::open().await;
    let cases = [
        (
            json!({"format": "Vmdk"}),
            r#"spec.format: Unsupported value: "Vmdk": supported values: "Qcow2", "Raw""#,
        ),
        (json!({"format": null}), "spec.format: Required value"),
        (json!({"source": null}), "spec.source: Required value"),
        (
            json!({"source": {"http": null}}),
            "spec.source.http: Required value",
        ),
        (
            json!({"source": {"http": {"sha256": null}}}),
            "spec.source.http.sha256: Required value",
        ),
        (
            json!({"source": {"file": "/etc/shadow"}}),
            r#"unknown field "spec.source.file""#,
        ),
        (
            json!({"visibility": "Shared"}),
            r#"Unsupported value: "Shared": supported values: "Private", "Public""#,
        ),
        (json!({"minDisk": "2gb"}), MIN_DISK),
        (json!({"minDisk": "-1Gi"}), MIN_DISK),
        (json!({"minDisk": "999999999999999Pi"}), MIN_DISK),
        (json!({"minMemory": "17Ti"}), MIN_MEMORY),
        (json!({"minMemory": 17_592_186_044_417_u64}), MIN_MEMORY),
        (json!({"minMemory": "lots"}), MIN_MEMORY),
        (
            json!({"minMemory": -1}),
            "should be greater than or equal to 0",
        ),
        (
            json!({"properties": {"firmware": "Efi"}}),
            r#"spec.properties.firmware: Unsupported value: "Efi""#,
        ),
        (
            json!({"properties": {"hw_firmware": "uefi"}}),
            r#"unknown field "spec.properties.hw_firmware""#,
        ),
        (
            json!({"description": "x".repeat(1025)}),
            "spec.description: Too long",
        ),
    ];
    desk.rejects_all(image, &cases).await;
}

#[tokio::test]
async fn an_image_keeps_its_content_and_may_change_around_it() {
    let desk = Desk::open().await;
    let made = desk.accepts(&image(json!({}))).await;
    let says = "an image's source and format cannot be changed: make another image";
    for spec in [
        json!({"source": {"http": {"url": "https://images.example/other"}}}),
        json!({"source": {"http": {"sha256": "0b".repeat(32)}}}),
        json!({"format": "Raw"}),
    ] {
        desk.refuses_change(&made, json!({"spec": spec}), says)
            .await;
    }
    let spec = json!({"visibility": "Public", "minDisk": "1Gi", "properties": {"tpm": true}, "description": "new"});
    desk.changes(&made, json!({"spec": spec})).await;
}
