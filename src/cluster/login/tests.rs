//! Tokens by an API server that grants what the test says, in a time that passes at once.

use std::sync::Arc;

use http::HeaderValue;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, client::Body};
use serde_json::json;
use tokio::time::timeout;
use tower::Layer as _;

use super::*;
use crate::cluster::mock::{Answer, Asked, MockServer};

const TOKENS: &str = "/api/v1/namespaces/kilonova-node-n1/serviceaccounts/node/token";
const NODE: &str = "/api/v1/nodes/n1";

fn exchange(server: &MockServer) -> Exchange {
    Exchange {
        client: server.client(),
        account: Account {
            namespace: "kilonova-node-n1".to_owned(),
            name: "node".to_owned(),
            node: "n1".to_owned(),
            advice: "is the operator running?".to_owned(),
        },
    }
}

/// A client of the server that works with the tokens that the server grants.
async fn begun(server: &MockServer, trouble: watch::Sender<Option<String>>) -> Client {
    let build = |token: &Token| {
        let server = server.client();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let server = server.clone();
            async move { server.send(request).await }
        });
        Client::new(token.layer(service), "default")
    };
    begin(exchange(server), build, trouble).await
}

fn grant(token: &str, life_s: i64) -> Answer {
    Answer::Json(
        201,
        json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
            "spec": { "audiences": ["k"], "expirationSeconds": life_s },
            "status": { "token": token, "expirationTimestamp": "2000-01-01T00:00:00Z" },
        }),
    )
}

fn refusal(code: u16, kind: &str, message: &str) -> Answer {
    Answer::Json(
        code,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "reason": "R", "message": message, "details": { "kind": kind },
        }),
    )
}

fn exchanges(server: &MockServer) -> Vec<Asked> {
    let asked = server.asked().into_iter();
    asked.filter(|asked| asked.path == TOKENS).collect()
}

/// Asks for the node once; with which token.
async fn ask(server: &MockServer, client: &Client) -> String {
    let _ = Api::<Node>::all(client.clone()).get("n1").await;
    server.asked().pop().unwrap().authorization
}

#[tokio::test(start_paused = true)]
async fn it_asks_for_a_token_that_ends_with_its_node() {
    let server = MockServer::new();
    server.on("POST", TOKENS, grant("one", 3600));
    let client = begun(&server, watch::Sender::new(None)).await;
    let asked = exchanges(&server);
    assert_eq!(asked.len(), 1);
    let expected = json!({
        "audiences": [],
        "boundObjectRef": { "apiVersion": "v1", "kind": "Node", "name": "n1" },
        "expirationSeconds": 3600,
    });
    assert_eq!(asked[0].body["spec"], expected);
    server.on("GET", NODE, Answer::ok(Node::default()));
    assert_eq!(ask(&server, &client).await, "Bearer one");
}

#[tokio::test(start_paused = true)]
async fn while_there_is_none_it_says_what_it_waits_for_and_asks_now_and_then() {
    let made = "the operator has not made the account node in namespace kilonova-node-n1 yet: is the operator running?";
    for (answer, why) in [
        (refusal(403, "serviceaccounts", "no"), made),
        (refusal(404, "serviceaccounts", "no"), made),
        (
            refusal(404, "nodes", "no"),
            "there is no node n1 in the cluster: the name must be that of the node that this runs on",
        ),
        (
            refusal(401, "", "no"),
            "the API server does not know the account that this runs as: its pod may be on the way out, or its token \
             is not mounted",
        ),
        (
            refusal(400, "", "no"),
            "the API server gives no tokens that end with a node: its feature ServiceAccountTokenNodeBinding must be on",
        ),
        (
            refusal(422, "serviceaccounts", "no"),
            "the API server gives this no token of node n1: only a pod that runs on that node may have one",
        ),
        (
            refusal(503, "", "no"),
            "the API server gives no token, and is asked again",
        ),
    ] {
        let server = MockServer::new();
        for _ in 0..3 {
            server.on("POST", TOKENS, answer.clone());
        }
        server.on("POST", TOKENS, grant("one", 3600));
        let (trouble, mut state) = watch::channel(None);
        let began = time::Instant::now();
        let waiting = begun(&server, trouble);
        let said = async {
            let said = state.wait_for(Option::is_some).await.unwrap();
            said.clone().unwrap()
        };
        let (_client, said) = tokio::join!(waiting, said);
        assert_eq!(said, format!("{why} (the API server says: no)"));
        assert_eq!(began.elapsed().as_secs(), 3 * PAUSE.as_secs());
        assert_eq!(*state.borrow(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn it_takes_the_next_one_at_four_fifths_of_the_life_that_was_granted() {
    let server = MockServer::new();
    server
        .on("POST", TOKENS, grant("one", 1000))
        .on("POST", TOKENS, grant("two", 1000))
        .on("GET", NODE, Answer::ok(Node::default()));
    let client = begun(&server, watch::Sender::new(None)).await;
    time::sleep(Duration::from_secs(799)).await;
    assert_eq!(ask(&server, &client).await, "Bearer one");
    assert_eq!(exchanges(&server).len(), 1);
    time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&server, &client).await, "Bearer two");
    assert_eq!(exchanges(&server).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced() {
    let server = MockServer::new();
    server
        .on("POST", TOKENS, grant("one", 3600))
        .on("POST", TOKENS, grant("two", 3600));
    server.on(
        "GET",
        NODE,
        Answer::by(|asked| match &*asked.authorization {
            "Bearer two" => Answer::ok(Node::default()),
            _ => Answer::Failure(401, "Unauthorized"),
        }),
    );
    let client = begun(&server, watch::Sender::new(None)).await;
    assert_eq!(ask(&server, &client).await, "Bearer one");
    time::sleep(PAUSE * 2).await;
    assert_eq!(ask(&server, &client).await, "Bearer two");
    time::sleep(PAUSE * 10).await;
    assert_eq!(exchanges(&server).len(), 2);
}

/// As when the cluster's keys were changed under it: nothing that is tried helps, and it is tried slowly.
#[tokio::test(start_paused = true)]
async fn tokens_that_are_refused_at_once_make_no_stream_of_exchanges() {
    let server = MockServer::new();
    server.on("POST", TOKENS, grant("one", 3600)).on(
        "GET",
        NODE,
        Answer::Failure(401, "Unauthorized"),
    );
    let client = begun(&server, watch::Sender::new(None)).await;
    let asking = async {
        loop {
            ask(&server, &client).await;
            time::sleep(Duration::from_millis(100)).await;
        }
    };
    let _ = timeout(PAUSE * 10, asking).await;
    let times = exchanges(&server).len();
    assert!((9..=11).contains(&times), "{times}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_serves_until_it_ends() {
    let server = MockServer::new();
    server
        .on("POST", TOKENS, grant("one", 1000))
        .on("POST", TOKENS, Answer::Failure(503, "Busy"));
    let (trouble, state) = watch::channel(None);
    let _client = begun(&server, trouble).await;
    time::sleep(Duration::from_secs(995)).await;
    assert!(exchanges(&server).len() > 10);
    assert_eq!(*state.borrow(), None);
    time::sleep(Duration::from_secs(15)).await;
    let said = state.borrow().clone().unwrap();
    assert!(said.starts_with("the API server gives no token"), "{said}");
    server.on("POST", TOKENS, grant("two", 1000));
    time::sleep(PAUSE * 2).await;
    assert_eq!(*state.borrow(), None);
}

#[tokio::test]
async fn an_old_token_s_refusal_says_nothing_of_the_new_one() {
    let server = MockServer::new();
    let (arrived, go) = (Arc::new(tokio::sync::Notify::new()), watch::Sender::new(()));
    let token = Token::new(HeaderValue::from_static("Bearer one"));
    let service = {
        let (server, arrived, go) = (server.client(), Arc::clone(&arrived), go.subscribe());
        tower::service_fn(move |request: http::Request<Body>| {
            let (server, arrived, mut go) = (server.clone(), Arc::clone(&arrived), go.clone());
            async move {
                arrived.notify_one();
                go.changed().await.unwrap();
                server.send(request).await
            }
        })
    };
    let client = Client::new(token.layer(service), "default");
    server.on("GET", NODE, Answer::Failure(401, "Unauthorized"));
    let replace = async {
        arrived.notified().await;
        token.replace(HeaderValue::from_static("Bearer two"));
        go.send_replace(());
    };
    tokio::join!(ask(&server, &client), replace);
    assert!(!token.is_refused());
    let again = async {
        arrived.notified().await;
        go.send_replace(());
    };
    tokio::join!(ask(&server, &client), again);
    assert!(token.is_refused());
}
