//! What a run writes when the API server does not do as it is asked. (What is decided is the plan's tests' business.)

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{server::PowerState, value::Size},
    cluster::{
        metrics,
        mock::{Answer, Asked, MockServer},
    },
    compute::{
        controller::fixtures::Cluster,
        metrics::ServerMetrics,
        plan::{
            fixtures::{NODE, UID, bound, flavor, image, server, time, told},
            scheduler::fixtures::hypervisor,
        },
    },
};

const SERVER: &str = "/apis/kilonova.dev/v1alpha1/namespaces/shop/servers/web-1";
const STATUS: &str = "/apis/kilonova.dev/v1alpha1/namespaces/shop/servers/web-1/status";

/// An API server that takes every write of the server, and its controller.
fn cloud(server: Server) -> (MockServer, ServerController, Arc<Server>) {
    let mut server = server;
    server.metadata.resource_version = Some("7".to_owned());
    let mut host = hypervisor(8, Size::gib(8), Size::gib(80));
    host.metadata.name = Some(NODE.to_owned());
    let api = MockServer::new();
    let context = Cluster {
        flavors: vec![flavor()],
        images: vec![image()],
        servers: vec![server.clone()],
        hypervisors: vec![host],
        ..Cluster::default()
    }
    .context(&api);
    (api, ServerController(context), Arc::new(server))
}

/// Takes a write of the server as it is, under the next resource version.
fn taken(server: &Arc<Server>) -> Answer {
    let server = Arc::clone(server);
    Answer::by(move |asked| {
        let mut written = (*server).clone();
        written.metadata.resource_version = Some("8".to_owned());
        if !asked.body["status"].is_null() {
            written.status = serde_json::from_value(asked.body["status"].clone()).unwrap();
        }
        Answer::ok(written)
    })
}

/// What was written, without the events.
fn writes(api: &MockServer) -> Vec<Asked> {
    let asked = api.asked().into_iter();
    asked
        .filter(|asked| asked.verb != "GET" && !asked.path.contains("/events"))
        .collect()
}

fn paths(api: &MockServer) -> Vec<String> {
    writes(api).into_iter().map(|asked| asked.path).collect()
}

/// Else it would be bound without a finalizer: its guest would outlive it.
#[tokio::test]
async fn a_server_that_could_not_be_held_is_not_bound() {
    let (api, controller, server) = cloud(server());
    api.on("PATCH", SERVER, Answer::Failure(409, "Conflict"));
    let failed = controller.reconcile(server).await.unwrap_err();
    assert_eq!(failed.failure(), Failure::Conflict);
    assert_eq!(paths(&api), [SERVER]);
}

/// Else an operator with an old view would put the server on a second node.
#[tokio::test]
async fn a_claim_that_was_refused_is_not_written_another_way() {
    let (api, controller, server) = cloud(server());
    api.on("PATCH", SERVER, taken(&server))
        .on("PATCH", STATUS, Answer::Failure(409, "Conflict"));
    let failed = controller.reconcile(server).await.unwrap_err();
    assert_eq!(failed.failure(), Failure::Conflict);
    assert_eq!(paths(&api), [SERVER, STATUS]);
    let claim = &writes(&api)[1].body;
    assert_eq!(claim["status"]["node"], NODE);
    assert_eq!(claim["metadata"]["resourceVersion"], "8");
}

#[tokio::test]
async fn what_the_api_server_will_not_have_is_told_to_the_owner() {
    let (api, controller, server) = cloud(server());
    api.on("PATCH", SERVER, Answer::Failure(403, "Forbidden"))
        .on("PATCH", STATUS, taken(&server));
    let failed = controller.reconcile(server).await.unwrap_err();
    assert_eq!(failed.failure(), Failure::Refused);
    assert_eq!(paths(&api), [SERVER, STATUS]);
    let told = &writes(&api)[1].body;
    assert_eq!(told["status"]["node"], Value::Null, "it is not bound");
    assert_eq!(told["metadata"]["resourceVersion"], "7");
    let conditions = told["status"]["conditions"].as_array().unwrap();
    let ready = conditions
        .iter()
        .find(|said| said["type"] == "Ready")
        .unwrap();
    assert_eq!(ready["reason"], "OperatorFailed");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains("failed to hold Server shop/web-1"),
        "{message}"
    );
}

/// Its key pair and its user data are gone by now, and are in the seed.
#[tokio::test]
async fn a_guest_that_was_lost_is_written_anew_though_what_it_was_made_from_is_gone() {
    let mut server = bound();
    server.spec.key_pairs = vec!["gone".to_owned()];
    let (api, controller, server) = cloud(server);
    let seed = format!("/api/v1/namespaces/kilonova-node-{NODE}/secrets/{UID}");
    let guest = format!("/apis/kilonova.dev/v1alpha1/namespaces/kilonova-node-{NODE}/guests/{UID}");
    api.on("GET", &seed, Answer::ok(Secret::default()))
        .on("PATCH", &guest, Answer::by(|asked| Answer::ok(&asked.body)))
        .on("PATCH", STATUS, taken(&server));
    controller.reconcile(server).await.unwrap();
    assert_eq!(paths(&api), [guest.as_str(), STATUS]);
    assert_eq!(writes(&api)[0].body["spec"]["epoch"], json!(2));
}

#[tokio::test]
async fn the_first_word_that_a_guest_runs_is_measured() {
    let mut server = bound();
    server.metadata.generation = Some(1);
    server.metadata.creation_timestamp = Some(time(100));
    server.metadata.resource_version = Some("7".to_owned());
    let mut guest = told(Some(PowerState::Running), Vec::new());
    guest.status.get_or_insert_default().started_at = Some(time(142));
    let api = MockServer::new();
    let cluster = Cluster {
        servers: vec![server.clone()],
        guests: vec![guest],
        ..Cluster::default()
    };
    let mut context = cluster.context(&api);
    let mut registry = metrics::registry();
    Arc::get_mut(&mut context).unwrap().metrics = ServerMetrics::new(&mut registry);
    let server = Arc::new(server);
    api.on("PATCH", STATUS, taken(&server));
    let controller = ServerController(context);
    // The second run finds it written down already.
    for _ in 0..2 {
        controller.reconcile(Arc::clone(&server)).await.unwrap();
    }
    let page = registry.encode().unwrap();
    for sample in ["_count 1\n", "_sum 42.0\n"] {
        let sample = format!("kilonova_server_build_duration_seconds{sample}");
        assert!(page.contains(&sample), "no {sample} in {page}");
    }
}
