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
    let spec = Spec::host(OPERATOR, words)
        .env("KUBECONFIG", kubeconfig.display().to_string())
        .env(
            "KILONOVA_OVN_NORTHBOUND",
            Ovn::new(layout, slot).northbound_endpoint(),
        );
    let operator = Part::new(layout, OPERATOR);
    operator.ensure(spec).await?;
    operator
        .wait_ready(READY_DEADLINE, async || probe(operator_address(slot)).await)
        .await
}

/// Makes the agent of a node run. The operator gives the node its account once it sees the Node object.
pub async fn ensure_agent(binary: &Path, node: &Node, cluster: &Cluster) -> Result<()> {
    let account = Account {
        namespace: format!("kilonova-node-{}", node.name()),
        name: "node".to_owned(),
    };
    cluster
        .ensure_kubeconfig(&account, &node.path_of(arguments::AGENT_KUBECONFIG))
        .await
        .with_context(|| {
            format!(
                "the agent of {} cannot log in; is the operator well?",
                node.name()
            )
        })?;
    let address = agent_address(node);
    let agent = node.part(AGENT);
    let spec = Spec::host(agent.name(), arguments::agent(binary, node.name(), address))
        .env("KUBECONFIG", arguments::AGENT_KUBECONFIG)
        .at(node.place()?);
    agent.ensure(spec).await?;
    agent
        .wait_ready(READY_DEADLINE, async || probe(address).await)
        .await
}

/// Where the operator serves metrics and probes: on this machine's loopback.
pub fn operator_address(slot: Slot) -> std::net::SocketAddr {
    (slot.loopback(), arguments::OPERATOR_PORT).into()
}

/// Where an agent serves metrics and probes: on its node's address, so that this machine reaches it.
pub fn agent_address(node: &Node) -> std::net::SocketAddr {
    (node.address(), arguments::AGENT_PORT).into()
}

/// Asks `/readyz`.
async fn probe(address: std::net::SocketAddr) -> Result<()> {
    let url = format!("http://{address}/readyz");
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
