//! The desk where manifests are handed in: a control plane, shared by all tests of this process.
//!
//! Refusals are looked at twice: by what they say, and by whether they really left everything as it was.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, anyhow};
use http::Request;
use kilonova::api;
use kube::Client;
use serde_json::{Value, from_value, json};
use testbed::{Cluster, Testbed, unique_name};
use tokio::sync::OnceCell;

/// Objects are made here, where their kind has namespaces.
pub const NAMESPACE: &str = "default";

static TESTBED: OnceCell<Result<Testbed, String>> = OnceCell::const_new();
static NAMES: AtomicU32 = AtomicU32::new(0);

/// One test's place at the desk.
pub struct Desk {
    client: Client,
    /// For what is simplest with kubectl.
    pub cluster: Cluster,
}

impl Desk {
    /// Opens the desk, and makes the testbed if this is the first test that asks.
    pub async fn open() -> Self {
        let testbed = TESTBED
            .get_or_init(async || make().await.map_err(|error| format!("{error:#}")))
            .await;
        let open = async || {
            let testbed = testbed.as_ref().map_err(|error| anyhow!("{error}"))?;
            // A client lives and dies with its test's runtime.
            anyhow::Ok(Self {
                client: testbed.client().await?,
                cluster: testbed.cluster().await?,
            })
        };
        open()
            .await
            .expect("these tests need a control plane of their own")
    }

    /// Creates the object, as a user would by `kubectl create`. What is accepted can be read by our types.
    pub async fn accepts(&self, object: &Value) -> Value {
        match self.create(object).await {
            Ok(created) => read_by_our_types(created),
            Err(error) => panic!("refused: {error}\n{object:#}"),
        }
    }

    /// Whether the API server takes the object; if it does, our types can read it.
    pub async fn takes(&self, object: &Value) -> bool {
        self.create(object).await.map(read_by_our_types).is_ok()
    }

    /// Hands the object in and gets it back: what is wrong is said in words that hold `says`, and nothing is made.
    /// Returns all that is said.
    pub async fn rejects(&self, object: &Value, says: &str) -> String {
        let error = match self.create(object).await {
            Ok(created) => panic!("accepted, instead of saying {says:?}: {created:#}"),
            Err(error) => error,
        };
        assert!(
            error.contains(says),
            "{error}\n… does not say {says:?} about {object:#}"
        );
        // A name that the API server refuses cannot be asked for, either.
        let left = self.read(object).await;
        assert!(left.is_err(), "refused, but there: {left:?}");
        error
    }

    /// Each of these changes of a valid object is refused in its words.
    pub async fn rejects_all(&self, valid: impl Fn(Value) -> Value, changes: &[(Value, &str)]) {
        for (change, says) in changes {
            self.rejects(&valid(change.clone()), says).await;
        }
    }

    /// Changes an object that is there, by a merge patch.
    pub async fn changes(&self, object: &Value, patch: Value) -> Value {
        match self.patch(object, &patch).await {
            Ok(changed) => read_by_our_types(changed),
            Err(error) => panic!("refused: {error}\n{patch:#}"),
        }
    }

    /// Tries to change an object: refused in words that hold `says`, and the object stays as it was.
    pub async fn refuses_change(&self, object: &Value, patch: Value, says: &str) {
        let error = match self.patch(object, &patch).await {
            Ok(changed) => panic!("accepted, instead of saying {says:?}: {changed:#}"),
            Err(error) => error,
        };
        assert!(
            error.contains(says),
            "{error}\n… does not say {says:?} about {patch:#}"
        );
        let now = self.read(object).await;
        assert_eq!(now.as_ref(), Ok(object), "refused, but changed");
    }

    /// The object as it is now, or what the API server says instead.
    pub async fn read(&self, object: &Value) -> Result<Value, String> {
        let name = name_of(object);
        let request = Request::get(format!("{}/{name}", path(object)));
        self.send(request.body(Vec::new())).await
    }

    async fn create(&self, object: &Value) -> Result<Value, String> {
        let request = Request::post(format!("{}?fieldValidation=Strict", path(object)))
            .header("Content-Type", "application/json")
            .body(object.to_string().into_bytes());
        self.send(request).await
    }

    async fn patch(&self, object: &Value, patch: &Value) -> Result<Value, String> {
        let name = name_of(object);
        let request = Request::patch(format!("{}/{name}?fieldValidation=Strict", path(object)))
            .header("Content-Type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes());
        self.send(request).await
    }

    async fn send(&self, request: http::Result<Request<Vec<u8>>>) -> Result<Value, String> {
        let request = request.expect("the parts of a request are well-formed");
        match self.client.request(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("the API server did not answer: {error:?}"),
        }
    }
}

async fn make() -> Result<Testbed> {
    let testbed = Testbed::builder(unique_name("admission"))
        .guarded()
        .up()
        .await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_kilonova"));
    testbed.apply_crds(binary).await?;
    Ok(testbed)
}

/// An object that is accepted and that no controller can read would be seen by nobody.
fn read_by_our_types(object: Value) -> Value {
    let copy = object.clone();
    let read = match object["kind"].as_str() {
        Some("Flavor") => from_value::<api::flavor::Flavor>(copy).map(drop),
        Some("Guest") => from_value::<api::guest::Guest>(copy).map(drop),
        Some("Hypervisor") => from_value::<api::hypervisor::Hypervisor>(copy).map(drop),
        Some("Image") => from_value::<api::image::Image>(copy).map(drop),
        Some("KeyPair") => from_value::<api::key_pair::KeyPair>(copy).map(drop),
        Some("Server") => from_value::<api::server::Server>(copy).map(drop),
        Some("ServerAction") => from_value::<api::server_action::ServerAction>(copy).map(drop),
        Some("FloatingIP") => from_value::<api::floating_ip::FloatingIP>(copy).map(drop),
        Some("LoadBalancer") => from_value::<api::load_balancer::LoadBalancer>(copy).map(drop),
        Some("Network") => from_value::<api::network::Network>(copy).map(drop),
        Some("Port") => from_value::<api::port::Port>(copy).map(drop),
        Some("Router") => from_value::<api::router::Router>(copy).map(drop),
        Some("SecurityGroup") => from_value::<api::security_group::SecurityGroup>(copy).map(drop),
        Some("Subnet") => from_value::<api::subnet::Subnet>(copy).map(drop),
        kind => panic!("{kind:?} is no kind of ours"),
    };
    if let Err(error) = read {
        panic!("accepted, but our types cannot read it: {error}\n{object:#}");
    }
    object
}

/// An object of ours that no other test has.
pub fn object(kind: &str, spec: Value) -> Value {
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}", kind.to_lowercase());
    let mut object = json!({
        "apiVersion": "kilonova.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
    });
    object["spec"] = spec;
    object
}

/// The value with this change in it, as a merge patch has it: null takes a field out.
pub fn with(value: Value, change: Value) -> Value {
    match (value, change) {
        (Value::Object(mut fields), Value::Object(changes)) => {
            for (name, change) in changes {
                let before = fields.remove(&name).unwrap_or(Value::Null);
                if !change.is_null() {
                    fields.insert(name, with(before, change));
                }
            }
            Value::Object(fields)
        }
        (_, change) => change,
    }
}

fn name_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    // As much of URL encoding as hostile names in these tests need.
    let encoded = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn path(object: &Value) -> String {
    let group = "/apis/kilonova.dev/v1alpha1";
    let home = format!("{group}/namespaces/{NAMESPACE}");
    match object["kind"].as_str() {
        Some("Flavor") => format!("{group}/flavors"),
        Some("Hypervisor") => format!("{group}/hypervisors"),
        Some("Image") => format!("{home}/images"),
        Some("KeyPair") => format!("{home}/keypairs"),
        Some("Server") => format!("{home}/servers"),
        Some("ServerAction") => format!("{home}/serveractions"),
        Some("Guest") => format!("{home}/guests"),
        Some("FloatingIP") => format!("{home}/floatingips"),
        Some("LoadBalancer") => format!("{home}/loadbalancers"),
        Some("Network") => format!("{home}/networks"),
        Some("Port") => format!("{home}/ports"),
        Some("Router") => format!("{home}/routers"),
        Some("SecurityGroup") => format!("{home}/securitygroups"),
        Some("Subnet") => format!("{home}/subnets"),
        kind => panic!("{kind:?} is no kind of ours"),
    }
}
