//! What the writer sends, and what it makes of the answers.

use serde_json::json;

use super::*;
use crate::api::key_pair::{KeyPair, KeyPairSpec, KeyPairStatus};
use crate::cluster::mock::{Answer, Asked, MockServer};

const PAIRS: &str = "/apis/kilonova.dev/v1alpha1/namespaces/shop/keypairs";
const PAIR: &str = "/apis/kilonova.dev/v1alpha1/namespaces/shop/keypairs/k";
const STATUS: &str = "/apis/kilonova.dev/v1alpha1/namespaces/shop/keypairs/k/status";
const FINALIZER: &str = "test/held";

fn pair() -> KeyPair {
    let spec = KeyPairSpec {
        public_key: "ssh-ed25519 AAAA".to_owned(),
    };
    let mut pair = KeyPair::new("k", spec);
    pair.metadata.namespace = Some("shop".to_owned());
    pair.metadata.uid = Some("u1".to_owned());
    pair.metadata.resource_version = Some("7".to_owned());
    pair
}

/// A status that differs from none.
fn status() -> KeyPairStatus {
    KeyPairStatus {
        fingerprint: Some("SHA256:x".to_owned()),
        ..KeyPairStatus::default()
    }
}

fn writer(server: &MockServer) -> Writer {
    Writer::new(server.client(), "tester")
}

/// The one request that was made.
fn only(server: &MockServer) -> Asked {
    let mut asked = server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.remove(0)
}

#[tokio::test]
async fn an_apply_is_forced_and_says_who_applies() {
    let server = MockServer::new();
    server.on("PATCH", PAIR, Answer::ok(pair()));
    writer(&server).apply(&pair()).await.unwrap();
    let asked = only(&server);
    assert!(asked.query.contains("force=true"), "{asked:?}");
    assert!(asked.query.contains("fieldManager=tester"), "{asked:?}");
    assert_eq!(asked.body["kind"], "KeyPair");
}

#[tokio::test]
async fn some_fields_are_applied_to_this_very_object_and_no_others_are_named() {
    let server = MockServer::new();
    server.on("PATCH", PAIR, Answer::ok(pair()));
    let fields = json!({ "spec": { "some": true } });
    writer(&server).apply_fields(&pair(), fields).await.unwrap();
    let wanted = json!({
        "apiVersion": "kilonova.dev/v1alpha1",
        "kind": "KeyPair",
        "metadata": { "name": "k", "namespace": "shop", "uid": "u1" },
        "spec": { "some": true },
    });
    assert_eq!(only(&server).body, wanted);
}

#[tokio::test]
async fn an_equal_status_is_not_written() {
    let server = MockServer::new();
    let mut pair = pair();
    pair.status = Some(status());
    let written = writer(&server)
        .apply_status(&pair, &status(), Claim::Exclusive)
        .await
        .unwrap();
    assert!(written.is_none());
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn only_an_exclusive_status_insists_on_what_was_read() {
    for (claim, version) in [(Claim::Shared, Value::Null), (Claim::Exclusive, json!("7"))] {
        let server = MockServer::new();
        server.on("PATCH", STATUS, Answer::ok(pair()));
        let written = writer(&server)
            .apply_status(&pair(), &status(), claim)
            .await;
        assert!(written.unwrap().is_some());
        let asked = only(&server);
        assert_eq!(asked.body["metadata"]["resourceVersion"], version);
        assert_eq!(asked.body["metadata"]["uid"], "u1");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_what_kind_of_failure_it_is() {
    let answers = [
        (Answer::Failure(409, "Conflict"), Failure::Conflict),
        (Answer::Failure(409, "AlreadyExists"), Failure::Conflict),
        (Answer::Failure(404, "NotFound"), Failure::NotFound),
        (Answer::Failure(400, "BadRequest"), Failure::Refused),
        (Answer::Failure(403, "Forbidden"), Failure::Refused),
        (Answer::Failure(422, "Invalid"), Failure::Refused),
        (
            Answer::Failure(429, "TooManyRequests"),
            Failure::Unreachable,
        ),
        (Answer::Failure(500, "InternalError"), Failure::Unreachable),
        (
            Answer::Failure(503, "ServiceUnavailable"),
            Failure::Unreachable,
        ),
        (
            Answer::Json(502, json!("a proxy's words")),
            Failure::Unreachable,
        ),
        (Answer::Unreachable, Failure::Unreachable),
        (Answer::Silent, Failure::Unreachable),
    ];
    for (answer, failure) in answers {
        let server = MockServer::new();
        server.on("PATCH", STATUS, answer);
        let error = writer(&server)
            .apply_status(&pair(), &status(), Claim::Shared)
            .await
            .unwrap_err();
        assert_eq!(error.failure(), failure, "{error:?}");
        assert_eq!(
            error.to_string(),
            "failed to write the status of KeyPair shop/k"
        );
        only(&server);
    }
}

#[tokio::test]
async fn what_is_there_already_is_created() {
    let server = MockServer::new();
    server
        .on("POST", PAIRS, Answer::Failure(409, "AlreadyExists"))
        .on("POST", PAIRS, Answer::Failure(409, "Conflict"));
    writer(&server).create(&pair()).await.unwrap();
    // A quota's, for example: then nothing was made.
    let error = writer(&server).create(&pair()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Conflict);
}

#[tokio::test]
async fn only_this_very_object_is_deleted_and_what_is_gone_is_fine() {
    let server = MockServer::new();
    server.on("DELETE", PAIR, Answer::Failure(404, "NotFound"));
    writer(&server).delete(&pair()).await.unwrap();
    assert_eq!(only(&server).body["preconditions"]["uid"], "u1");

    let server = MockServer::new();
    server.on("DELETE", PAIR, Answer::Failure(503, "ServiceUnavailable"));
    let error = writer(&server).delete(&pair()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Unreachable);
}

#[tokio::test]
async fn a_finalizer_is_set_beside_others_and_only_if_nobody_changed_them() {
    let server = MockServer::new();
    server.on("PATCH", PAIR, Answer::ok(pair()));
    let mut pair = pair();
    pair.metadata.finalizers = Some(vec!["other".to_owned()]);
    writer(&server).hold(&pair, FINALIZER).await.unwrap();
    let metadata = &only(&server).body["metadata"];
    assert_eq!(metadata["finalizers"], json!(["other", FINALIZER]));
    assert_eq!(metadata["resourceVersion"], "7");
    assert_eq!(metadata["uid"], "u1");
}

#[tokio::test]
async fn only_our_finalizer_is_taken_off_and_what_is_gone_is_fine() {
    let server = MockServer::new();
    server.on("PATCH", PAIR, Answer::Failure(404, "NotFound"));
    let mut pair = pair();
    writer(&server).release(&pair, FINALIZER).await.unwrap();
    assert_eq!(server.asked(), [], "it was not there");

    pair.metadata.finalizers = Some(vec!["other".to_owned(), FINALIZER.to_owned()]);
    writer(&server).release(&pair, FINALIZER).await.unwrap();
    let metadata = &only(&server).body["metadata"];
    assert_eq!(metadata["finalizers"], json!(["other"]));
    assert_eq!(metadata["resourceVersion"], "7");
}

#[tokio::test]
async fn labels_that_are_not_wanted_are_taken_off_and_annotations_of_others_stay() {
    let server = MockServer::new();
    server.on("PATCH", PAIR, Answer::ok(pair()));
    let mut pair = pair();
    let label = |key: &str| (key.to_owned(), "x".to_owned());
    pair.metadata.labels = Some([label("old"), label("kept")].into());
    pair.metadata.annotations = Some([label("theirs")].into());
    let mut wanted = pair.clone();
    wanted.metadata.labels = Some([label("kept"), label("new")].into());
    wanted.metadata.annotations = Some([label("ours")].into());
    writer(&server).mark(&pair, &wanted).await.unwrap();
    let metadata = &only(&server).body["metadata"];
    assert_eq!(
        metadata["labels"],
        json!({ "old": null, "kept": "x", "new": "x" })
    );
    assert_eq!(metadata["annotations"], json!({ "ours": "x" }));
}
