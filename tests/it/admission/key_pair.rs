//! `KeyPair`.

use serde_json::{Value, json};

use super::desk::{Desk, object};

const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const PRIVATE: &str = "publicKey holds a private key, which must never leave its owner: give the one line of the .pub file";
const LINE: &str = "publicKey must be the one line of a .pub file";
const NO_BREAK: &str = "without a line break at its end";

/// A key pair of this key.
pub fn key_pair(public_key: &str) -> Value {
    object("KeyPair", json!({"publicKey": public_key}))
}

#[tokio::test]
async fn public_keys_of_every_type_are_taken() {
    let desk = Desk::open().await;
    for kind in [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ] {
        desk.accepts(&key_pair(&format!("{kind} {BLOB}"))).await;
    }
    for comment in [
        "alice@example",
        "a comment of words",
        "schlüssel \"🔑\" <a>",
    ] {
        desk.accepts(&key_pair(&format!("ssh-ed25519 {BLOB} {comment}")))
            .await;
    }
}

#[tokio::test]
async fn a_private_key_is_refused_without_being_repeated() {
    let desk = Desk::open().await;
    let secret = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB";
    for kind in ["OPENSSH PRIVATE", "RSA PRIVATE", "PRIVATE"] {
        let pasted = format!("-----BEGIN {kind} KEY-----\n{secret}\n-----END {kind} KEY-----\n");
        let said = desk.rejects(&key_pair(&pasted), PRIVATE).await;
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn what_is_no_line_of_a_pub_file_is_refused() {
    let desk = Desk::open().await;
    for public_key in [
        String::new(),
        "ssh-ed25519".to_owned(),
        BLOB.to_owned(),
        format!("ssh-ed25519  {BLOB}"),
        format!(" ssh-ed25519 {BLOB}"),
        "ssh-ed25519 not*base64 me".to_owned(),
        format!("ssh-dss {BLOB}"),
        format!("ssh-ed25519 {BLOB} me\n"),
        format!("ssh-ed25519 {BLOB} me\nssh-ed25519 {BLOB} another"),
        format!("ssh-ed25519 {BLOB} me\r\n"),
        format!("ssh-ed25519 {BLOB} bell\u{7}"),
        format!("command=\"id\" ssh-ed25519 {BLOB}"),
        format!("<key>ssh-ed25519 {BLOB}</key>"),
        "ssh-ed25519 AAAA===".to_owned(),
    ] {
        let said = desk.rejects(&key_pair(&public_key), LINE).await;
        assert!(said.contains(NO_BREAK), "{said}");
    }
    let long = format!("ssh-rsa {}", "A".repeat(16384));
    desk.rejects(
        &key_pair(&long),
        "spec.publicKey: Too long: may not be more than 16384 bytes",
    )
    .await;
    let unknown = object(
        "KeyPair",
        json!({"publicKey": format!("ssh-rsa {BLOB}"), "private": ""}),
    );
    desk.rejects(&unknown, r#"unknown field "spec.private""#)
        .await;
    desk.rejects(
        &object("KeyPair", json!({})),
        "spec.publicKey: Required value",
    )
    .await;
}

#[tokio::test]
async fn a_key_pair_stays_as_it_was_made() {
    let desk = Desk::open().await;
    let made = desk
        .accepts(&key_pair(&format!("ssh-ed25519 {BLOB} a")))
        .await;
    let change = json!({"spec": {"publicKey": format!("ssh-ed25519 {BLOB} b")}});
    desk.refuses_change(
        &made,
        change,
        "a key pair cannot be changed: make another one",
    )
    .await;
}
