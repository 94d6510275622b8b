//! What a run writes when the API server does not do as it is asked. (What is decided is the plan's tests' business.)

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{port::Port, server::PowerState, value::Size},
    cluster::{
        metrics,
        mock::{Answer, Asked, MockServer},
    },
    compute::{
        controller::fixtures::Cluster,
        metrics::ServerMetrics,
        plan::{
            fixtures::{
                NODE, UID, bound, claimed, condition, flavor, image, port, server, time, told,
                with_networks,
            },
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

const PORTS: &str = "/apis/kilonova.dev/v1alpha1/namespaces/shop/ports";

/// A cloud with this server and these ports.
fn networked(server: &Server, ports: Vec<Port>) -> (MockServer, Arc<Context>) {
    let mut host = hypervisor(8, Size::gib(8), Size::gib(80));
    host.metadata.name = Some(NODE.to_owned());
    let connected = condition("NetworkReady", "True", "Configured", "");
    host.status
        .get_or_insert_default()
        .conditions
        .push(connected);
    let api = MockServer::new();
    let context = Cluster {
        flavors: vec![flavor()],
        images: vec![image()],
        servers: vec![server.clone()],
        hypervisors: vec![host],
        ports,
        ..Cluster::default()
    }
    .context(&api);
    (api, context)
}

/// Each network costs one write more, and waiting for its address none: it usually takes no time.
#[tokio::test]
async fn a_server_makes_its_ports_without_a_word_and_is_bound_when_they_have_addresses() {
    let mut server = with_networks(&["front"]);
    server.metadata.resource_version = Some("7".to_owned());
    let server = Arc::new(server);
    let (api, context) = networked(&server, Vec::new());
    let made = Answer::by(|asked| {
        let mut port = asked.body.clone();
        port["metadata"]["uid"] = json!("5a3c9f0e-1b2d-4c3e-8f4a-6b7c8d9e0f01");
        port["metadata"]["resourceVersion"] = json!("8");
        Answer::ok(&port)
    });
    api.on("PATCH", SERVER, taken(&server))
        .on("POST", PORTS, made);
    let controller = ServerController(context);
    for _ in 0..2 {
        controller.reconcile(Arc::clone(&server)).await.unwrap();
    }
    assert_eq!(paths(&api)[..2], [SERVER, PORTS]);
    assert!(!paths(&api).contains(&STATUS.to_owned()));
    assert_eq!(
        paths(&api).iter().filter(|path| *path == PORTS).count(),
        1,
        "what was made is not made again, though the watch has not told of it"
    );

    let (api, context) = networked(&server, vec![claimed("web-1-front", 1)]);
    let seeds = format!("/api/v1/namespaces/kilonova-node-{NODE}/secrets");
    let guest = format!("/apis/kilonova.dev/v1alpha1/namespaces/kilonova-node-{NODE}/guests/{UID}");
    api.on("PATCH", SERVER, taken(&server))
        .on("PATCH", STATUS, taken(&server))
        .on("POST", &seeds, Answer::by(|asked| Answer::ok(&asked.body)))
        .on("PATCH", &guest, Answer::by(|asked| Answer::ok(&asked.body)));
    let controller = ServerController(context);
    controller.reconcile(server).await.unwrap();
    assert_eq!(paths(&api), [SERVER, STATUS, &seeds, &guest]);
    let writes = writes(&api);
    assert_eq!(writes[1].body["status"]["addresses"][0]["ip"], "10.0.0.1");
    assert_eq!(writes[3].body["spec"]["nics"][0]["name"], "web-1-front");
    assert!(!writes[2].body["data"]["network-config"].is_null());
}

/// Nobody gives addresses: its owner must hear of it, though not at once.
#[tokio::test]
async fn a_server_whose_ports_nobody_heeds_says_so_after_a_while() {
    let mut server = with_networks(&["front"]);
    server.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    server.metadata.resource_version = Some("7".to_owned());
    let server = Arc::new(server);
    let (api, context) = networked(&server, vec![port("web-1-front", 1)]);
    api.on("PATCH", STATUS, taken(&server));
    let controller = ServerController(context);
    controller.reconcile(Arc::clone(&server)).await.unwrap();
    assert_eq!(paths(&api), [""; 0]);
    controller.0.ports.hurry(&server);
    controller.reconcile(server).await.unwrap();
    assert_eq!(paths(&api), [STATUS]);
    let conditions = writes(&api)[0].body["status"]["conditions"].clone();
    let ready = conditions
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["type"] == "Ready");
    assert_eq!(
        ready.unwrap()["message"],
        "waiting for port shop/web-1-front: it has no addresses yet"
    );
}

#[tokio::test]
async fn a_port_of_another_server_s_guest_is_waited_for() {
    let mut server = with_networks(&["front"]);
    server.spec.networks[0].network = None;
    server.spec.networks[0].port = Some("mine".to_owned());
    let mut port = claimed("mine", 1);
    (port.metadata.labels, port.metadata.owner_references) = (None, None);
    let uid = port.uid().unwrap();
    let mut other = told(Some(PowerState::Running), Vec::new());
    other.spec.server.uid = "another".to_owned();
    other.spec.server.name = "db-1".to_owned();
    for plugged in [false, true] {
        let status = other.status.get_or_insert_default();
        status.nics = if plugged {
            vec![uid.clone()]
        } else {
            Vec::new()
        };
        let cluster = Cluster {
            ports: vec![port.clone()],
            guests: vec![other.clone()],
            ..Cluster::default()
        };
        let context = cluster.context(&MockServer::new());
        let found = gather_ports(&context, &server, None);
        let expected = plugged.then_some("shop/db-1");
        assert_eq!(found.held.get(&uid).map(String::as_str), expected);
    }
}
