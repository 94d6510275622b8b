//! Runs the `kilonova` binary: by its chart in pods ([`release`]), or as processes, its operator on this machine and its
//! agents on the nodes.
//!
//! What the binary is called with stands in [`arguments`] and nowhere else. Speaks to it by its command line only:
//! this crate does not depend on it.

mod arguments;
pub mod binary;
pub mod release;
pub mod running;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::{Account, Cluster};
use crate::command::{command, run};
use crate::layout::Layout;
use crate::node::Node;
use crate::ovn::Ovn;
use crate::part::{Part, Spec};
use crate::slot::Slot;

/// The operator's name among the testbed's parts, and its component in the chart.
pub const OPERATOR: &str = "operator";
/// Its `ServiceAccount`, as in the chart.
const OPERATOR_ACCOUNT: &str = "kilonova-operator";
/// An agent's name among its node's parts, and its component in the chart.
pub const AGENT: &str = "agent";
/// A metadata service's name among its node's parts, and its component in the chart.
pub const METADATA: &str = "metadata";
/// Where operator and agents are.
pub const SYSTEM_NAMESPACE: &str = "kilonova-system";
const READY_DEADLINE: Duration = Duration::from_mins(1);

/// Applies the CRDs and waits until the API server serves them.
pub async fn ensure_crds(binary: &Path, cluster: &Cluster) -> Result<()> {
    let mut print = command([binary]);
    print.args(arguments::CRDS);
    let crds = run(&mut print).await?;
    cluster
        .apply(&crds)
        .await
        .context("failed to apply the CRDs")?;
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "-f",
        "-",
    ];
    cluster
        .kubectl(&wait, &crds)
        .await
        .context("the API server does not serve the CRDs")?;
    Ok(())
}

/// What is logged, for each of our programs.
const LOG_FILTER: &str = "KILONOVA_LOG_FILTER";

/// Makes the operator run.
pub async fn ensure_operator(
    binary: &Path,
    layout: &Layout,
    slot: Slot,
    cluster: &Cluster,
) -> Result<()> {
    let account = Account {
        namespace: SYSTEM_NAMESPACE.to_owned(),
        name: OPERATOR_ACCOUNT.to_owned(),
    };
    cluster.ensure_administrator(&account).await?;
    let kubeconfig = layout.kubeconfig(OPERATOR);
    cluster.ensure_kubeconfig(&account, &kubeconfig).await?;
    let words = arguments::operator(binary, operator_address(slot));
    let ovn = Ovn::new(layout, slot);
    let spec = Spec::host(OPERATOR, words)
        .env("KUBECONFIG", kubeconfig.display().to_string())
        .env("KILONOVA_OVN_NORTHBOUND", ovn.northbound_endpoint())
        .env("KILONOVA_OVN_SOUTHBOUND", ovn.southbound_endpoint());
    let spec = logging(spec);
    let operator = Part::new(layout, OPERATOR);
    operator.ensure(spec).await?;
    operator
        .wait_ready(READY_DEADLINE, async || {
            probe(operator_address(slot), "readyz").await
        })
        .await
}

/// Makes the agent of a node run. The operator gives the node its account once it sees the Node object.
pub async fn ensure_agent(binary: &Path, node: &Node, cluster: &Cluster) -> Result<()> {
    let address = agent_address(node);
    let argv = arguments::agent(binary, node.name(), address);
    let agent = ensure_resident(node, cluster, AGENT, "node", argv).await?;
    agent
        .wait_ready(READY_DEADLINE, async || probe(address, "readyz").await)
        .await
}

/// Makes the metadata service of a node run. It is ready when the node's switch has the bridge that `ovn-controller` makes,
/// which is not waited for here.
pub async fn ensure_metadata(binary: &Path, node: &Node, cluster: &Cluster) -> Result<()> {
    let address = metadata_address(node);
    let argv = arguments::metadata(binary, node.name(), address);
    let metadata = ensure_resident(node, cluster, METADATA, "metadata", argv).await?;
    metadata
        .wait_ready(READY_DEADLINE, async || probe(address, "healthz").await)
        .await
}

/// Starts what runs on a node, with the account that the operator has made for it in the node's namespace.
async fn ensure_resident(
    node: &Node,
    cluster: &Cluster,
    part: &str,
    account: &str,
    argv: Vec<String>,
) -> Result<Part> {
    let account = Account {
        namespace: format!("kilonova-node-{}", node.name()),
        name: account.to_owned(),
    };
    let kubeconfig = arguments::kubeconfig(part);
    cluster
        .ensure_kubeconfig(&account, &node.path_of(&kubeconfig))
        .await
        .with_context(|| {
            format!(
                "the {part} of {} cannot log in; is the operator well?",
                node.name()
            )
        })?;
    let part = node.part(part);
    let spec = Spec::host(part.name(), argv)
        .env("KUBECONFIG", kubeconfig)
        .at(node.place()?);
    part.ensure(logging(spec)).await?;
    Ok(part)
}

/// Programs of ours log as they are told to by the environment that `devstack` itself was started in.
fn logging(spec: Spec) -> Spec {
    match std::env::var(LOG_FILTER) {
        Ok(filter) => spec.env(LOG_FILTER, filter),
        Err(_) => spec,
    }
}

/// Where the operator serves metrics and probes: on this machine's loopback.
pub fn operator_address(slot: Slot) -> std::net::SocketAddr {
    (slot.loopback(), arguments::OPERATOR_PORT).into()
}

/// Where an agent serves metrics and probes: on its node's address, so that this machine reaches it.
pub fn agent_address(node: &Node) -> std::net::SocketAddr {
    (node.address(), arguments::AGENT_PORT).into()
}

/// Where a metadata service serves metrics and probes: as an agent does.
pub fn metadata_address(node: &Node) -> std::net::SocketAddr {
    (node.address(), arguments::METADATA_PORT).into()
}

/// Asks `/readyz` or `/healthz`.
async fn probe(address: std::net::SocketAddr, page: &str) -> Result<()> {
    let url = format!("http://{address}/{page}");
    run(&mut command([
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "2",
        &url,
    ]))
    .await
    .map(drop)
}
