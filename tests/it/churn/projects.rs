//! Two projects, and what is in them.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Namespace;
use kilonova::api::{
    floating_ip::FloatingIP, load_balancer::LoadBalancer, network::Network, port::Port,
    router::Router, security_group::SecurityGroup, server::Server, subnet::Subnet,
};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::TypeMeta;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use testbed::{GuestImage, Seen, Testbed, unique_name, wait_for};

use crate::shared::SOON;

/// What became of the wish to make an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is there.
    Yes,
    /// One of that name is still there.
    Occupied,
}

/// The projects. Their namespaces go last.
pub struct Projects {
    /// Where they are.
    pub testbed: &'static Testbed,
    /// The API server.
    pub client: Client,
    /// Their names.
    pub names: Vec<String>,
}

impl Projects {
    /// So many new ones, each with an image and a flavor.
    pub async fn new(testbed: &'static Testbed, count: usize) -> Result<Self> {
        let client = testbed.client().await?;
        let names: Vec<String> = (0..count).map(|_| unique_name("churn")).collect();
        let projects = Self {
            testbed,
            client,
            names,
        };
        let image = testbed.image(GuestImage::Tiny).await?;
        for name in &projects.names {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(name.clone());
            let namespaces: Api<Namespace> = Api::all(projects.client.clone());
            namespaces
                .create(&PostParams::default(), &namespace)
                .await?;
            let flavor = json!({"vcpus": 1, "memory": "128Mi", "disk": "128Mi"});
            let flavor = json!({
                "apiVersion": "kilonova.dev/v1alpha1", "kind": "Flavor", "metadata": {"name": name}, "spec": flavor,
            });
            let flavors: Api<DynamicObject> =
                Api::all_with(projects.client.clone(), &resource("Flavor"));
            flavors
                .create(&PostParams::default(), &serde_json::from_value(flavor)?)
                .await?;
            let source = json!({"http": {"url": image.url, "sha256": image.sha256}});
            let spec = json!({"source": source, "format": "Qcow2"});
            projects.make(name, "Image", "tiny", &spec).await?;
        }
        Ok(projects)
    }

    /// A project's objects of a kind.
    pub fn of(&self, project: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), project, &resource(kind))
    }

    /// Makes an object, unless one of that name is there.
    pub async fn make(&self, project: &str, kind: &str, name: &str, spec: &Value) -> Result<Made> {
        let object = json!({
            "apiVersion": "kilonova.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        let object = serde_json::from_value(object)?;
        match self
            .of(project, kind)
            .create(&PostParams::default(), &object)
            .await
        {
            Ok(_) => Ok(Made::Yes),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Made::Occupied),
            Err(error) => Err(error).with_context(|| format!("{kind} {project}/{name}: {spec}")),
        }
    }

    /// Asks for an object's deletion. One that is gone is fine.
    pub async fn delete(&self, project: &str, kind: &str, name: &str) -> Result<()> {
        match self
            .of(project, kind)
            .delete(name, &DeleteParams::default())
            .await
        {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            asked => asked
                .map(drop)
                .with_context(|| format!("{kind} {project}/{name}")),
        }
    }

    /// Asks for the deletion of all of a project's objects of a kind.
    pub async fn delete_all(&self, project: &str, kind: &str) -> Result<()> {
        let (how, all) = (DeleteParams::default(), ListParams::default());
        let asked = self.of(project, kind).delete_collection(&how, &all).await;
        asked
            .map(drop)
            .with_context(|| format!("every {kind} of {project}"))
    }

    /// Everything of the room of networks in them, and their servers.
    pub async fn objects(&self) -> Result<Vec<DynamicObject>> {
        let kinds = super::specs::SLOTS.iter().map(|(kind, _)| *kind);
        let lists = kinds.map(async |kind| -> Result<Vec<DynamicObject>> {
            let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(kind));
            let mut found = all.list(&ListParams::default()).await?.items;
            found.retain(|one| self.names.contains(&one.namespace().unwrap_or_default()));
            for object in &mut found {
                let kind = kind.to_owned();
                let api_version = String::new();
                object.types = Some(TypeMeta { api_version, kind });
            }
            Ok(found)
        });
        Ok(try_join_all(lists).await?.into_iter().flatten().collect())
    }

    /// Asks for the namespaces' deletion, and waits until they are gone with all that was in them.
    pub async fn end(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in &self.names {
            namespaces.delete(name, &DeleteParams::default()).await?;
        }
        for name in &self.names {
            wait_for(
                &format!("namespace {name} to be gone"),
                SOON * 2,
                async || {
                    let namespace = namespaces.get_opt(name).await?;
                    Ok(match namespace {
                        None => Seen::Wanted(()),
                        Some(namespace) => Seen::NotYet(json!(namespace.status).to_string()),
                    })
                },
            )
            .await?;
            let flavors: Api<DynamicObject> =
                Api::all_with(self.client.clone(), &resource("Flavor"));
            flavors.delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

/// What an object is called in messages.
pub fn called(object: &DynamicObject) -> String {
    let namespace = object.namespace().unwrap_or_default();
    format!("{} {namespace}/{}", kind(object), object.name_any())
}

/// An object's kind.
pub fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| &types.kind)
}

fn resource(kind: &str) -> ApiResource {
    match kind {
        "Network" => ApiResource::erase::<Network>(&()),
        "Subnet" => ApiResource::erase::<Subnet>(&()),
        "Port" => ApiResource::erase::<Port>(&()),
        "Router" => ApiResource::erase::<Router>(&()),
        "SecurityGroup" => ApiResource::erase::<SecurityGroup>(&()),
        "FloatingIP" => ApiResource::erase::<FloatingIP>(&()),
        "LoadBalancer" => ApiResource::erase::<LoadBalancer>(&()),
        "Server" => ApiResource::erase::<Server>(&()),
        "Flavor" => ApiResource::erase::<kilonova::api::flavor::Flavor>(&()),
        "Image" => ApiResource::erase::<kilonova::api::image::Image>(&()),
        other => panic!("{other} is not used here"),
    }
}
