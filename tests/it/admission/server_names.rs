//! The names in a `Server`: each ends up in XML, YAML, file names or messages of a node, so what could break out of
//! its place is refused where it comes in.

use serde_json::{Value, json};

use super::desk::Desk;
use super::server::server;

/// What breaks out of places: quotes, line breaks, markup, paths, blanks, control characters.
const HOSTILE: [&str; 12] = [
    "",
    "we\"b",
    "we'b",
    "web\n",
    "web\r\ninstance-id: evil",
    "<web/>",
    "web&amp;",
    "we b",
    "../web",
    "we$(id)b",
    "we\u{0}b",
    "wéb",
];

async fn rejects_hostile(place: impl Fn(&str) -> Value, says: &str) {
    let desk = Desk::open().await;
    for name in HOSTILE {
        desk.rejects(&server(place(name)), says).await;
    }
}

#[tokio::test]
async fn a_flavor_is_a_name() {
    rejects_hostile(
        |name| json!({"flavor": name}),
        "flavor must be the name of a Flavor: lower-case letters, digits, hyphens and dots",
    )
    .await;
    let desk = Desk::open().await;
    desk.rejects(&server(json!({"flavor": "M1"})), "flavor must be the name")
        .await;
    desk.rejects(
        &server(json!({"flavor": "x".repeat(254)})),
        "spec.flavor: Too long: may not be more than 253 bytes",
    )
    .await;
}

#[tokio::test]
async fn an_image_is_a_name_or_two() {
    let says = "image must be the name of an Image, or project/name for a public one: lower-case letters, digits, hyphens and dots";
    rejects_hostile(|name| json!({"image": name}), says).await;
    let desk = Desk::open().await;
    for image in [
        "a/b/c",
        "/b",
        "a/",
        "Shop/debian",
        "https://images.example/a",
    ] {
        desk.rejects(&server(json!({"image": image})), says).await;
    }
    desk.accepts(&server(json!({"image": "shop/debian-12.7"})))
        .await;
}

#[tokio::test]
async fn a_host_name_is_one() {
    let says =
        "hostname must be a host name: letters, digits and hyphens, 63 at most between two dots";
    rejects_hostile(|name| json!({"hostname": name}), says).await;
    let desk = Desk::open().await;
    for hostname in [
        "-web",
        "web-",
        "web..example",
        "web_1",
        &"x".repeat(64),
        "web.",
    ] {
        desk.rejects(&server(json!({"hostname": hostname})), says)
            .await;
    }
    for hostname in ["Web-1", "web.shop.example", &"x".repeat(63), "1"] {
        desk.accepts(&server(json!({"hostname": hostname}))).await;
    }
}

#[tokio::test]
async fn key_pairs_are_names() {
    let says = "keyPairs must be names of KeyPairs of this project: lower-case letters, digits, hyphens and dots";
    rejects_hostile(|name| json!({"keyPairs": ["alice", name]}), says).await;
    let desk = Desk::open().await;
    let many: Vec<String> = (0..17).map(|key| format!("key-{key}")).collect();
    let cases = [
        (
            json!({"keyPairs": many}),
            "spec.keyPairs: Too many: 17: must have at most 16 items",
        ),
        (
            json!({"keyPairs": ["alice", "alice"]}),
            r#"spec.keyPairs[1]: Duplicate value: "alice""#,
        ),
        (json!({"keyPairs": ["shop/alice"]}), says),
    ];
    desk.rejects_all(server, &cases).await;
}

#[tokio::test]
async fn a_secret_and_its_key_are_names() {
    rejects_hostile(
        |name| json!({"userData": {"secret": {"name": name, "key": "a"}}}),
        "secret.name must be the name of a Secret of this project",
    )
    .await;
    rejects_hostile(
        |name| json!({"userData": {"secret": {"name": "a", "key": name}}}),
        "secret.key must be a key of the Secret: letters, digits, hyphens, dots and underscores",
    )
    .await;
}

/// The server's own name is its host name, too, unless it has another.
#[tokio::test]
async fn a_server_s_own_name_is_one_as_kubernetes_has_it() {
    let desk = Desk::open().await;
    for name in HOSTILE.iter().filter(|name| !name.is_empty()) {
        let mut server = server(json!({}));
        server["metadata"]["name"] = json!(name);
        desk.rejects(&server, "metadata.name: Invalid value").await;
    }
}

#[tokio::test]
async fn a_description_is_free_text() {
    let desk = Desk::open().await;
    for description in HOSTILE {
        let made = desk
            .accepts(&server(json!({"description": description})))
            .await;
        assert_eq!(made["spec"]["description"], description);
    }
    desk.rejects(
        &server(json!({"description": "x".repeat(1025)})),
        "spec.description: Too long: may not be more than 1024 bytes",
    )
    .await;
}
