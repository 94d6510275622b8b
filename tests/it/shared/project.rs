//! A project of one test: a namespace with a flavor and an image of its own, and everything that is done to servers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kilonova::api::{
    condition,
    flavor::{Flavor, FlavorSpec},
    guest::Guest,
    image::{DiskFormat, HttpSource, Image, ImageProperties, ImageSource, ImageSpec, Visibility},
    node_namespace,
    server::{PowerState, RestartPolicy, Server, ServerSpec, ServerState, Shutdown, UserData},
    value::{Reference, Size},
};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::images::console::Report;
use testbed::{GuestImage, Seen, Testbed, unique_name, wait_for};
use tokio::sync::SemaphorePermit;

use super::{GuestOnNode, RUNTIME, SOON, TURNS};

/// The image that every project has.
pub const TINY: &str = "tiny";

/// A namespace that goes, with all that is in it, when this is dropped.
pub struct Project<'a> {
    /// Where it is.
    pub testbed: &'a Testbed,
    /// The namespace, and the name of its flavor.
    pub name: String,
    /// This test's own.
    pub client: Client,
    turn: Option<SemaphorePermit<'static>>,
}

impl Project<'static> {
    /// A project on the shared testbed, when it is this test's turn.
    pub async fn shared() -> Result<Self> {
        let turn = TURNS.acquire().await?;
        let mut project = Self::on(super::testbed().await?).await?;
        project.turn = Some(turn);
        Ok(project)
    }
}

impl<'a> Project<'a> {
    /// A project with an image [`TINY`] and a flavor that suits it.
    pub async fn on(testbed: &'a Testbed) -> Result<Self> {
        let project = Self {
            testbed,
            name: unique_name("p"),
            client: testbed.client().await?,
            turn: None,
        };
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(project.name.clone());
        let namespaces: Api<Namespace> = Api::all(project.client.clone());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        project.flavor(&project.name, |_| {}).await?;
        let served = testbed.image(GuestImage::Tiny).await?;
        let image = image(TINY, &served.url, &served.sha256)?;
        project.create(&image).await?;
        Ok(project)
    }

    /// The project's objects of a kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Makes an object in the project.
    pub async fn create<K>(&self, object: &K) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let created = self.api::<K>().create(&PostParams::default(), object).await;
        created.with_context(|| format!("failed to make {} {}", K::kind(&()), object.name_any()))
    }

    /// Makes a flavor, small unless `change` says otherwise. Flavors belong to no project: its name begins with ours.
    pub async fn flavor(&self, name: &str, change: impl FnOnce(&mut FlavorSpec)) -> Result<Flavor> {
        let mut spec = FlavorSpec {
            description: None,
            vcpus: 1,
            memory: Size::mib(128),
            disk: Size::mib(128),
            cpu: None,
            machine: None,
            firmware: None,
            secure_boot: None,
            tpm: None,
        };
        change(&mut spec);
        let flavors: Api<Flavor> = Api::all(self.client.clone());
        let flavor = Flavor::new(name, spec);
        Ok(flavors.create(&PostParams::default(), &flavor).await?)
    }

    /// Asks for a flavor's deletion; it goes when no server uses it. One that is gone is fine.
    pub async fn delete_flavor(&self, name: &str) -> Result<()> {
        delete_flavor(&self.client, name).await
    }

    /// A server as most tests want it, not made yet.
    pub fn server(&self, name: &str) -> Server {
        let spec = ServerSpec {
            description: None,
            flavor: self.name.clone(),
            image: Reference::new(TINY),
            networks: Vec::new(),
            key_pairs: Vec::new(),
            user_data: None,
            hostname: None,
            power_state: PowerState::Running,
            shutdown: None,
            restart_policy: RestartPolicy::Always,
            placement: None,
            metadata_service: None,
        };
        Server::new(name, spec)
    }

    /// Makes a server like [`Project::server`], with changes.
    pub async fn make(&self, name: &str, change: impl FnOnce(&mut ServerSpec)) -> Result<Server> {
        let mut server = self.server(name);
        change(&mut server.spec);
        self.create(&server).await
    }

    /// Makes a server like [`Project::server`], with changes, and waits until its guest is up.
    pub async fn boot(
        &self,
        name: &str,
        change: impl FnOnce(&mut ServerSpec),
    ) -> Result<(GuestOnNode, Report)> {
        self.make(name, change).await?;
        let server = self.wait_state(name, ServerState::Active).await?;
        let guest = GuestOnNode::of(self.testbed, &server)?;
        let report = guest.wait_up(1).await?;
        Ok((guest, report))
    }

    /// Makes a Secret.
    pub async fn secret(&self, name: &str, key: &str, value: &[u8]) -> Result<Secret> {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        let value = k8s_openapi::ByteString(value.to_vec());
        secret.data = Some(BTreeMap::from([(key.to_owned(), value)]));
        self.create(&secret).await
    }

    /// The server as it is.
    pub async fn get(&self, name: &str) -> Result<Server> {
        Ok(self.api::<Server>().get(name).await?)
    }

    /// Changes a server's spec.
    pub async fn change(&self, name: &str, spec: Value) -> Result<Server> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let servers = self.api::<Server>();
        Ok(servers.patch(name, &PatchParams::default(), &patch).await?)
    }

    /// Asks for a power state.
    pub async fn power(&self, name: &str, power: PowerState) -> Result<Server> {
        self.change(name, json!({ "powerState": power })).await
    }

    /// Waits until a server is as `is` wants it. The API server may be away meanwhile.
    pub async fn wait(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        is: impl Fn(&Server) -> bool,
    ) -> Result<Server> {
        let what = format!("server {name} {what}");
        let servers = self.api::<Server>();
        wait_for(&what, deadline, async || {
            Ok(match servers.get(name).await {
                Ok(server) if is(&server) => Seen::Wanted(server),
                Ok(server) => Seen::NotYet(json!(server.status).to_string()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })
        .await
    }

    /// Waits until a server is as its spec asks, and in this state.
    pub async fn wait_state(&self, name: &str, state: ServerState) -> Result<Server> {
        self.wait(name, &format!("to be {state:?}"), SOON * 2, |server| {
            is_ready(server) && state_of(server) == Some(state)
        })
        .await
    }

    /// Waits until a condition of a server holds or not, and its message has all these words.
    pub async fn wait_words(
        &self,
        name: &str,
        kind: &str,
        holds: bool,
        words: &[&str],
    ) -> Result<Server> {
        let what = format!("to say {kind}={holds} with {words:?}");
        self.wait(name, &what, SOON * 2, |server| {
            let conditions = server.status.iter().flat_map(|status| &status.conditions);
            conditions.clone().any(|condition| {
                condition.type_ == kind
                    && (condition.status == "True") == holds
                    && words.iter().all(|word| condition.message.contains(word))
            })
        })
        .await
    }

    /// Asks for a server's deletion and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.ask_delete(name).await?;
        self.wait_deleted(name).await
    }

    /// Asks for a server's deletion.
    pub async fn ask_delete(&self, name: &str) -> Result<()> {
        self.api::<Server>()
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Waits until there is no such server.
    pub async fn wait_deleted(&self, name: &str) -> Result<()> {
        let servers = self.api::<Server>();
        wait_for(&format!("server {name} to be gone"), SOON * 2, async || {
            Ok(match servers.get_opt(name).await {
                Ok(None) => Seen::Wanted(()),
                Ok(Some(server)) => Seen::NotYet(json!(server.status).to_string()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })
        .await
    }

    /// What is left of a guest, anywhere.
    pub async fn left_of(&self, guest: &GuestOnNode) -> Result<Vec<&'static str>> {
        let home = node_namespace(guest.node.name());
        let guests: Api<Guest> = Api::namespaced(self.client.clone(), &home);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &home);
        let traces = [
            ("its Guest", guests.get_opt(&guest.uid).await?.is_some()),
            ("its Secret", secrets.get_opt(&guest.uid).await?.is_some()),
            ("its domain", guest.has_domain().await?),
            ("its folder", guest.folder().exists()),
            ("its QEMU", guest.any_qemu()?),
        ];
        let left = traces.into_iter().filter(|(_, there)| *there);
        Ok(left.map(|(what, _)| what).collect())
    }

    /// The reasons of what was told about a server, in no order.
    pub async fn events_of(&self, server: &Server) -> Result<Vec<String>> {
        let uid = server.uid().unwrap_or_default();
        let about = ListParams::default().fields(&format!("regarding.uid={uid}"));
        let events = self.api::<Event>().list(&about).await?;
        Ok(events
            .into_iter()
            .filter_map(|event| event.reason)
            .collect())
    }

    /// How many writes to the API server named this object.
    pub fn writes_about(&self, name: &str) -> Result<usize> {
        let requests = self.testbed.audit_log()?.into_iter();
        let about = requests.filter(|request| {
            let object = request.object_ref.as_ref();
            request.is_write() && object.is_some_and(|object| object.name == name)
        });
        Ok(about.count())
    }

    /// Deletes a server and looks that nothing of its guest is left.
    pub async fn delete_all_of(&self, name: &str, guest: &GuestOnNode) -> Result<()> {
        self.delete(name).await?;
        let left = self.left_of(guest).await?;
        anyhow::ensure!(
            left.is_empty(),
            "after server {name} has gone, there is {left:?}"
        );
        Ok(())
    }
}

/// The namespace's servers go through the operator, as an owner's would.
impl Drop for Project<'_> {
    fn drop(&mut self) {
        let (name, testbed) = (&self.name, self.testbed);
        let gone = async {
            // The test's client belongs to the test's runtime, which stands still while this waits.
            let client = testbed.client().await?;
            let namespaces: Api<Namespace> = Api::all(client.clone());
            namespaces.delete(name, &DeleteParams::default()).await?;
            delete_flavor(&client, name).await
        };
        let limited = async { tokio::time::timeout(SOON, gone).await };
        // A thread of its own, because this one drives a runtime already.
        let done = std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(limited)).join());
        if !matches!(done, Ok(Ok(Ok(())))) {
            eprintln!("project {} could not be removed: {done:?}", self.name);
        }
    }
}

async fn delete_flavor(client: &Client, name: &str) -> Result<()> {
    let flavors: Api<Flavor> = Api::all(client.clone());
    match flavors.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        asked => asked.map(drop).context("failed to delete a flavor"),
    }
}

/// Whether a server is as its spec asks, and its status speaks of that spec.
pub fn is_ready(server: &Server) -> bool {
    server.status.as_ref().is_some_and(|status| {
        status.observed_generation == server.metadata.generation
            && condition::holds(&status.conditions, "Ready")
    })
}

/// OpenStack's word for a server.
pub fn state_of(server: &Server) -> Option<ServerState> {
    server.status.as_ref()?.state
}

/// A server's condition.
pub fn condition_of<'a>(server: &'a Server, kind: &str) -> Option<&'a Condition> {
    condition::find(&server.status.as_ref()?.conditions, kind)
}

/// The message of a server's condition.
pub fn message_of(server: &Server, kind: &str) -> String {
    condition_of(server, kind)
        .map(|condition| condition.message.clone())
        .unwrap_or_default()
}

/// An image at an address, not made yet.
pub fn image(name: &str, url: &str, sha256: &str) -> Result<Image> {
    let spec = ImageSpec {
        description: None,
        source: ImageSource {
            http: HttpSource {
                url: url.to_owned(),
                sha256: sha256.parse()?,
            },
        },
        format: DiskFormat::Qcow2,
        min_disk: None,
        min_memory: None,
        visibility: Visibility::Private,
        properties: ImageProperties::default(),
    };
    Ok(Image::new(name, spec))
}

/// User data in the server itself.
pub fn inline(text: &str) -> UserData {
    UserData {
        inline: Some(text.to_owned()),
        secret: None,
    }
}

/// A time to power off in.
pub fn grace(seconds: u64) -> Shutdown {
    let grace = Duration::from_secs(seconds).into();
    Shutdown { grace }
}
