//! What the servers of a benchmark are made from: the quickstart's flavor, image and key pair, in a project of their
//! own. Leaves nothing behind but those.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::watch::{Listener, Sighting, Watch};
use crate::examples;
use crate::node::Node;
use crate::testbed::Testbed;

const PROJECT: &str = "bench";
const MANAGER: &str = "devstack-bench";
/// The first server on a node waits for the image; a hundred wait for each other.
pub const DEADLINE: Duration = Duration::from_mins(10);
/// How many requests are under way at once where many servers are made.
const REQUESTS_MAX: usize = 16;

/// The project of a benchmark.
pub struct Cloud {
    client: kube::Client,
    servers: Api<DynamicObject>,
    template: Value,
    /// What is seen of its servers.
    pub watch: Watch,
}

/// A server that was asked for.
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its uid, which is also its domain's.
    pub uid: String,
    /// Just before the request was sent.
    pub at: Instant,
    /// The same moment, by the clock that the audit log tells.
    pub time: Timestamp,
    /// Everything since before the request.
    pub listener: Listener,
}

impl Cloud {
    /// Makes the project, ends what an earlier benchmark may have left in it, and begins to watch.
    pub async fn prepare(testbed: &Testbed) -> Result<Self> {
        let client = testbed.client().await?;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROJECT}});
        Api::<Namespace>::all(client.clone())
            .patch(PROJECT, &params(), &Patch::Apply(namespace))
            .await
            .context("failed to make the benchmark's project")?;
        let mut template = None;
        for mut object in quickstart(testbed).await? {
            if object["metadata"]["namespace"].is_string() {
                object["metadata"]["namespace"] = json!(PROJECT);
            }
            if object["kind"] == "Server" {
                template = Some(object);
            } else {
                apply(&client, &object).await?;
            }
        }
        let servers = Api::namespaced_with(client.clone(), PROJECT, &resource("Server"));
        let cloud = Self {
            watch: Watch::open(servers.clone()).await?,
            template: template.context("examples/quickstart.yaml has no Server")?,
            client,
            servers,
        };
        cloud.clear().await?;
        wait_hypervisors(testbed).await?;
        Ok(cloud)
    }

    /// Asks for a server like the quickstart's; `spec` is merged into its spec.
    pub async fn create(&self, name: &str, spec: &Value) -> Result<Asked> {
        let mut server = self.template.clone();
        server["metadata"]["name"] = json!(name);
        if let (Value::Object(all), Value::Object(some)) = (&mut server["spec"], spec) {
            all.extend(some.clone());
        }
        let server = serde_json::from_value(server)?;
        let listener = self.watch.listen();
        let (at, time) = (Instant::now(), Timestamp::now());
        let made = self.servers.create(&PostParams::default(), &server).await;
        let made = made.with_context(|| format!("failed to create server {name}"))?;
        Ok(Asked {
            name: name.to_owned(),
            uid: made.metadata.uid.context("a server has no uid")?,
            at,
            time,
            listener,
        })
    }

    /// Deletes a server and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let mut listener = self.watch.listen();
        self.servers
            .delete(name, &DeleteParams::default())
            .await
            .with_context(|| format!("failed to delete server {name}"))?;
        let what = format!("the end of server {name}");
        let gone = |seen: &Sighting| seen.gone && named(seen, name);
        listener.until(&what, DEADLINE, gone).await.map(drop)
    }

    /// Deletes every server of the project and waits until all are gone.
    pub async fn clear(&self) -> Result<()> {
        let listed = self.servers.list_metadata(&ListParams::default()).await?;
        stream::iter(listed.items)
            .map(async |server| self.delete(&server.metadata.name.unwrap_or_default()).await)
            .buffer_unordered(REQUESTS_MAX)
            .try_collect()
            .await
    }

    /// Makes many things of servers at once, within bounds.
    pub async fn at_once<T>(
        &self,
        makes: impl IntoIterator<Item = impl Future<Output = Result<T>>>,
    ) -> Result<Vec<T>> {
        let makes = stream::iter(makes).buffer_unordered(REQUESTS_MAX);
        makes.try_collect().await
    }

    /// Lets hypervisors promise as much as a benchmark needs; returns what they promised before.
    pub async fn overcommit(&self) -> Result<Vec<(String, Value)>> {
        let hypervisors = self.hypervisors();
        let mut before = Vec::new();
        for hypervisor in hypervisors.list(&ListParams::default()).await?.items {
            let name = hypervisor.metadata.name.unwrap_or_default();
            before.push((name.clone(), hypervisor.data["spec"]["overcommit"].clone()));
            let much = json!({"cpuPercent": 10_000, "diskPercent": 10_000});
            self.promise(&name, &much).await?;
        }
        Ok(before)
    }

    /// Makes a hypervisor promise so much.
    pub async fn promise(&self, hypervisor: &str, overcommit: &Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"overcommit": overcommit}}));
        self.hypervisors()
            .patch(hypervisor, &PatchParams::default(), &patch)
            .await
            .with_context(|| format!("failed to change hypervisor {hypervisor}"))?;
        Ok(())
    }

    fn hypervisors(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource("Hypervisor"))
    }
}

impl Asked {
    /// Waits until the server is as it was asked to be and in this state.
    pub async fn ready(&mut self, state: &str) -> Result<std::sync::Arc<Sighting>> {
        let what = format!("server {} to be {state}", self.name);
        let name = self.name.clone();
        let is = |seen: &Sighting| named(seen, &name) && is_ready(seen, state);
        self.listener.until(&what, DEADLINE, is).await
    }
}

/// What pins a server to a node.
pub fn pinned(node: &Node) -> Value {
    json!({"placement": {"nodeSelector": {"kubernetes.io/hostname": node.name()}}})
}

/// Whether this is said of the server of this name.
pub fn named(seen: &Sighting, name: &str) -> bool {
    seen.object.metadata.name.as_deref() == Some(name)
}

/// Whether a server is in this state, and as it shall be; one that is ACTIVE must run, too.
pub fn is_ready(seen: &Sighting, state: &str) -> bool {
    let status = &seen.object.data["status"];
    let holds = |kind: &str| {
        let conditions = status["conditions"].as_array();
        let all = conditions.map(Vec::as_slice).unwrap_or_default();
        all.iter()
            .any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    !seen.gone
        && status["state"] == state
        && holds("Ready")
        && (state != "ACTIVE" || holds("Running"))
}

/// A testbed that has just come up may still hear of its agents for the first time.
async fn wait_hypervisors(testbed: &Testbed) -> Result<()> {
    let all_ready = "wait hypervisors --all --for=condition=Ready --timeout=60s";
    let words: Vec<&str> = all_ready.split(' ').collect();
    let waited = testbed.cluster().await?.kubectl(&words, "").await;
    waited.context("not every hypervisor of the testbed is ready")?;
    Ok(())
}

async fn quickstart(testbed: &Testbed) -> Result<Vec<Value>> {
    let text = examples::quickstart(testbed).await?;
    serde_saphyr::from_multiple(&text).context("examples/quickstart.yaml is not a list of objects")
}

async fn apply(client: &kube::Client, object: &Value) -> Result<()> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (word(&object["kind"]), word(&object["metadata"]["name"]));
    let resource = resource(&kind);
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(&name, &params(), &Patch::Apply(object))
        .await
        .with_context(|| format!("failed to apply {kind} {name}"))?;
    Ok(())
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("kilonova.dev", "v1alpha1", kind))
}

fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}
