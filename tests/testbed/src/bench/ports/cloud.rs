//! What the ports of the benchmark are made in: projects, each with a network, a subnet, a router and the security group
//! that ports have which name none.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::bench::watch::{Listener, Sighting, Watch};

/// The label of the ports that are measured.
const MEASURED: &str = "bench=ports";
const MANAGER: &str = "devstack-bench";
/// How many requests are under way at once: a client that has much to do.
const REQUESTS_MAX: usize = 32;

/// The projects.
pub struct Cloud {
    client: kube::Client,
    projects: usize,
    /// What is seen of ports.
    watch: Watch,
}

/// What the API server said of ports, and when.
pub struct Told {
    /// When the last of them had its addresses.
    pub addresses: Instant,
    /// When the last of them was Ready.
    pub ready: Instant,
}

/// Where a project's ports are in OVN.
pub struct Place {
    /// The switch: the network's UID.
    pub network: String,
    /// The subnet's UID.
    pub subnet: String,
    /// The security group's UID.
    pub group: String,
}

impl Cloud {
    /// Makes the projects, unless they are there, and begins to watch.
    pub async fn prepare(client: kube::Client, projects: usize) -> Result<Self> {
        let everywhere = Api::all_with(client.clone(), &resource("Port"));
        let watch = Watch::open(everywhere).await?;
        let cloud = Self {
            client,
            projects,
            watch,
        };
        for project in 0..projects {
            cloud.ensure_project(project).await?;
        }
        Ok(cloud)
    }

    async fn ensure_project(&self, project: usize) -> Result<()> {
        let name = home(project);
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Api::<Namespace>::all(self.client.clone())
            .patch(&name, &params(), &Patch::Apply(namespace))
            .await
            .with_context(|| format!("failed to make project {name}"))?;
        let objects = [
            ("Network", "net", json!({})),
            (
                "Subnet",
                "v4",
                json!({"network": "net", "cidr": "10.0.0.0/16", "dhcp": true}),
            ),
            ("Router", "edge", json!({"interfaces": [{"subnet": "v4"}]})),
        ];
        for (kind, object, spec) in objects {
            let applied = json!({
                "apiVersion": "kilonova.dev/v1alpha1", "kind": kind, "spec": spec,
                "metadata": {"name": object, "namespace": name},
            });
            self.api(project, kind)
                .patch(object, &params(), &Patch::Apply(applied))
                .await
                .with_context(|| format!("failed to make {kind} {name}/{object}"))?;
        }
        Ok(())
    }

    /// Makes ports until there are so many, and waits until those that are new are Ready.
    pub async fn ensure_ports(&self, count: usize, deadline: Duration) -> Result<()> {
        let mut missing = Vec::new();
        let mut found = BTreeSet::new();
        for project in 0..self.projects {
            let names = self.names(project, &ListParams::default()).await?;
            found.extend(names.map(|name| (project, name)));
        }
        for number in 0..count {
            let port = (number % self.projects, there(number));
            if !found.contains(&port) {
                missing.push(port);
            }
        }
        let mut listener = self.watch.listen();
        let made = self.create(missing, json!({})).await?;
        self.told(&mut listener, &made, deadline).await.map(drop)
    }

    /// Hears of ports from now on.
    pub fn listen(&self) -> Listener {
        self.watch.listen()
    }

    /// Makes so many ports, all in one go; their UIDs, which are their names in OVN.
    pub async fn make(&self, count: usize) -> Result<Vec<String>> {
        let (key, value) = MEASURED.split_once('=').unwrap_or_default();
        let ports = (0..count).map(|number| (number % self.projects, format!("new-{number}")));
        self.create(ports.collect(), json!({key: value})).await
    }

    async fn create(&self, ports: Vec<(usize, String)>, labels: Value) -> Result<Vec<String>> {
        let labels = &labels;
        stream::iter(ports)
            .map(async |(project, name)| {
                let port = json!({
                    "apiVersion": "kilonova.dev/v1alpha1", "kind": "Port",
                    "metadata": {"name": name, "labels": labels}, "spec": {"network": "net"},
                });
                let made = self
                    .api(project, "Port")
                    .create(&PostParams::default(), &serde_json::from_value(port)?)
                    .await
                    .with_context(|| format!("failed to make port {name}"))?;
                made.metadata.uid.context("a port has no uid")
            })
            .buffer_unordered(REQUESTS_MAX)
            .try_collect()
            .await
    }

    /// Waits until all of these ports are Ready.
    pub async fn told(
        &self,
        listener: &mut Listener,
        ports: &[String],
        deadline: Duration,
    ) -> Result<Told> {
        let now = Instant::now();
        let mut told = Told {
            addresses: now,
            ready: now,
        };
        if ports.is_empty() {
            return Ok(told);
        }
        let mut lacking: BTreeSet<&str> = ports.iter().map(String::as_str).collect();
        let mut waiting = lacking.clone();
        let hear = |seen: &Sighting| {
            let uid = seen.object.metadata.uid.as_deref().unwrap_or_default();
            let status = &seen.object.data["status"];
            if has_address(status) && lacking.remove(uid) {
                told.addresses = seen.at;
            }
            if is_ready(status) && waiting.remove(uid) {
                told.ready = seen.at;
            }
            lacking.is_empty() && waiting.is_empty()
        };
        let what = format!("{} ports to be Ready", ports.len());
        listener.until(&what, deadline, hear).await?;
        Ok(told)
    }

    /// The UIDs of ports that are there before: of each project one for each node, side by side.
    pub async fn residents(&self, existing: usize, nodes: usize) -> Result<Vec<String>> {
        let mut residents = Vec::new();
        for project in 0..self.projects {
            for number in (project..existing).step_by(self.projects).take(nodes) {
                residents.push(self.uid(project, "Port", &there(number)).await?);
            }
        }
        Ok(residents)
    }

    /// Deletes the ports that were measured; who waits for their end looks at OVN.
    pub async fn clear(&self) -> Result<()> {
        let mut ports = Vec::new();
        for project in 0..self.projects {
            let measured = ListParams::default().labels(MEASURED);
            let names = self.names(project, &measured).await?;
            ports.extend(names.map(|name| (project, name)));
        }
        stream::iter(ports)
            .map(async |(project, name)| {
                let params = DeleteParams::default();
                self.api(project, "Port").delete(&name, &params).await
            })
            .buffer_unordered(REQUESTS_MAX)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .context("failed to delete ports")
    }

    /// Where each project's ports are in OVN.
    pub async fn places(&self) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for project in 0..self.projects {
            places.push(Place {
                network: self.uid(project, "Network", "net").await?,
                subnet: self.uid(project, "Subnet", "v4").await?,
                group: self.uid(project, "SecurityGroup", "default").await?,
            });
        }
        Ok(places)
    }

    async fn uid(&self, project: usize, kind: &str, name: &str) -> Result<String> {
        let object = self.api(project, kind).get_metadata(name).await;
        let object = object.with_context(|| format!("there is no {kind} {name}"))?;
        object.metadata.uid.context("an object has no uid")
    }

    async fn names(
        &self,
        project: usize,
        which: &ListParams,
    ) -> Result<impl Iterator<Item = String> + use<>> {
        let listed = self.api(project, "Port").list_metadata(which).await;
        let listed = listed.context("failed to list ports")?.items.into_iter();
        Ok(listed.filter_map(|port| port.metadata.name))
    }

    fn api(&self, project: usize, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &home(project), &resource(kind))
    }
}

fn has_address(status: &Value) -> bool {
    let addresses = status["addresses"].as_array();
    addresses.is_some_and(|addresses| !addresses.is_empty())
}

fn is_ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array();
    let mut all = conditions.into_iter().flatten();
    all.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The name of one of the ports that there are before.
fn there(number: usize) -> String {
    format!("there-{number}")
}

fn home(project: usize) -> String {
    format!("bench-ports-{project}")
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("kilonova.dev", "v1alpha1", kind))
}

fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}
