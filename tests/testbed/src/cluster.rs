//! What the testbed puts into the cluster by itself: Node objects where there is no kubelet, the operator's account, and
//! tokens for whoever logs in as a `ServiceAccount`.
//!
//! Knows no kind of Kilonova's own: those are applied as files, by kubectl.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::command::{command, run_with_input};
use crate::control_plane::{Pki, kubeconfig};
use crate::layout::Layout;
use crate::record::write_file;
use crate::slot::Slot;
use crate::wait::{Seen, wait_for};

const FIELD_MANAGER: &str = "devstack";
/// Puts a node into the cloud.
const HYPERVISOR_LABEL: &str = "kilonova.dev/hypervisor";
const NODE_DEADLINE: Duration = Duration::from_mins(2);
/// Ten years: a testbed does not renew its tokens.
const TOKEN_SECONDS: i64 = 10 * 365 * 24 * 3600;
/// How long the controllers may take to make an account.
const ACCOUNT_DEADLINE: Duration = Duration::from_mins(1);

/// A `ServiceAccount` by namespace and name.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The cluster, as its administrator.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    kubectl: PathBuf,
    layout: Layout,
    slot: Slot,
}

impl Cluster {
    /// Connects to the testbed's API server.
    pub async fn connect(layout: &Layout, slot: Slot, kubectl: &Path) -> Result<Self> {
        Ok(Self {
            client: client(&layout.kubeconfig("admin")).await?,
            kubectl: kubectl.to_owned(),
            layout: layout.clone(),
            slot,
        })
    }

    /// Applies a YAML stream on the server's side and returns what kubectl said about each object.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        let words = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager",
            FIELD_MANAGER,
            "-f",
            "-",
        ];
        self.kubectl(&words, yaml).await
    }

    /// Runs kubectl as administrator, with `input` to read.
    pub async fn kubectl(&self, words: &[&str], input: &str) -> Result<String> {
        let mut kubectl = command([&self.kubectl]);
        kubectl
            .arg("--kubeconfig")
            .arg(self.layout.kubeconfig("admin"))
            .args(words);
        run_with_input(&mut kubectl, input.as_bytes()).await
    }

    /// Registers a node, as its kubelet would, and marks it as a hypervisor, as an administrator would.
    pub async fn ensure_node(&self, node: &crate::node::Node) -> Result<()> {
        let name = node.name();
        let object = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {
                HYPERVISOR_LABEL: "true",
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
            }},
        });
        self.ensure::<Node>(Api::all(self.client.clone()), name, &object)
            .await?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let context = || format!("failed to write the addresses of node {name}");
        let found = nodes.get(name).await.with_context(context)?;
        if found
            .status
            .is_some_and(|status| status.addresses.is_some())
        {
            return Ok(());
        }
        let addresses = json!([
            {"type": "InternalIP", "address": node.address()},
            {"type": "Hostname", "address": name},
        ]);
        let status = Patch::Strategic(json!({"status": {"addresses": addresses}}));
        nodes
            .patch_status(name, &PatchParams::default(), &status)
            .await
            .with_context(context)?;
        Ok(())
    }

    /// Waits until a node's kubelet says that pods can run there.
    pub async fn wait_node_ready(&self, node: &crate::node::Node) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let what = format!(
            "node {} to be ready (its kubelet's log: {})",
            node.name(),
            node.part("kubelet").log().display()
        );
        wait_for(&what, NODE_DEADLINE, async || {
            let found = nodes.get_opt(node.name()).await?;
            Ok(Seen::of(readiness(found)))
        })
        .await
    }

    /// Marks a node that has registered itself as a hypervisor, as an administrator would.
    pub async fn label_node(&self, node: &crate::node::Node) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let label = json!({"metadata": {"labels": {HYPERVISOR_LABEL: "true"}}});
        nodes
            .patch(node.name(), &PatchParams::default(), &Patch::Merge(label))
            .await
            .map(drop)
            .with_context(|| format!("failed to label node {}", node.name()))
    }

    /// Makes a `ServiceAccount`, with its namespace, that may do everything.
    pub async fn ensure_administrator(&self, account: &Account) -> Result<()> {
        let Account { namespace, name } = account;
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.ensure::<Namespace>(Api::all(self.client.clone()), namespace, &object)
            .await?;
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace}});
        self.ensure::<ServiceAccount>(self.accounts(namespace), name, &object)
            .await?;
        let binding = format!("{namespace}-{name}");
        let object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": binding},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        });
        self.ensure::<ClusterRoleBinding>(Api::all(self.client.clone()), &binding, &object)
            .await
    }

    /// Writes a kubeconfig with a token of a `ServiceAccount` to `path`, waiting for the account to appear. A file
    /// that still lets one in stays as it is.
    pub async fn ensure_kubeconfig(&self, account: &Account, path: &Path) -> Result<()> {
        let Account { namespace, name } = account;
        if still_valid(path, account).await {
            return Ok(());
        }
        let accounts = self.accounts(namespace);
        let what = format!("the ServiceAccount {namespace}/{name}");
        wait_for(&what, ACCOUNT_DEADLINE, async || {
            let found = accounts.get_opt(name).await.map_err(anyhow::Error::from);
            Ok(Seen::of(found.and_then(|found| {
                found.map(drop).context("there is none")
            })))
        })
        .await?;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("failed to get a token for {namespace}/{name}"))?;
        let token = answer
            .status
            .context("the API server answered without a token")?
            .token;
        let ca = Pki::ensure(&self.layout, self.slot)?.ca_certificate();
        write_file(path, &kubeconfig(self.slot, &ca, &json!({"token": token}))?)
    }

    fn accounts(&self, namespace: &str) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Applies an object, unless it was applied before: an object that exists has what is asked for, or an
    /// administrator changed it on purpose.
    async fn ensure<K>(&self, api: Api<K>, name: &str, object: &Value) -> Result<()>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let context = || format!("failed to apply {} {name}", object["kind"]);
        if api.get_opt(name).await.with_context(context)?.is_none() {
            let params = PatchParams::apply(FIELD_MANAGER);
            api.patch(name, &params, &Patch::Apply(object))
                .await
                .with_context(context)?;
        }
        Ok(())
    }
}

fn readiness(node: Option<Node>) -> Result<()> {
    let status = node.context("it has not registered")?.status;
    let mut conditions = status
        .and_then(|status| status.conditions)
        .into_iter()
        .flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready");
    let ready = ready.context("it has not said anything")?;
    let why = ready.message.unwrap_or_default();
    ensure!(
        ready.status == "True",
        "it says Ready {}: {why}",
        ready.status
    );
    Ok(())
}

/// A client with the credentials of a kubeconfig.
pub(crate) async fn client(path: &Path) -> Result<Client> {
    // kube leaves the choice of rustls' cryptography to the process. A second choice is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = || format!("failed to use the kubeconfig {}", path.display());
    let kubeconfig = Kubeconfig::read_from(path).with_context(context)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(context)?;
    Client::try_from(config).with_context(context)
}

async fn still_valid(path: &Path, account: &Account) -> bool {
    let review = async {
        let reviews: Api<SelfSubjectReview> = Api::all(client(path).await?);
        let answer = reviews
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await?;
        anyhow::Ok(answer.status.and_then(|status| status.user_info?.username))
    };
    let expected = format!(
        "system:serviceaccount:{}:{}",
        account.namespace, account.name
    );
    path.exists() && review.await.ok().flatten() == Some(expected)
}
