//! Whose account an agent works with.

use anyhow::Context as _;
use kube::{Client, Config};
use tokio::sync::watch;

use crate::{
    api::{HYPERVISOR_LABEL, node_namespace},
    cluster::{
        login::{self, Account},
        metrics::RequestMetrics,
        request,
    },
    compute::plan::hypervisor::AGENT_ACCOUNT,
};

/// Whose account an agent works with.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Login {
    /// With the account that KUBECONFIG names, as it is.
    Kubeconfig,
    /// With its node's account, whose tokens it asks for as the account of its pod.
    Pod,
}

impl Login {
    /// A client with that account. With `Pod` it waits for a first token, and `trouble` says what for.
    pub(super) async fn client(
        self,
        config: Config,
        node: &str,
        metrics: &RequestMetrics,
        trouble: watch::Sender<Option<String>>,
    ) -> anyhow::Result<Client> {
        let client = match self {
            Self::Kubeconfig => request::client(config, metrics),
            Self::Pod => login::client(config, account(node), metrics, trouble).await,
        };
        client.context(super::NO_CLIENT)
    }
}

fn account(node: &str) -> Account {
    Account {
        namespace: node_namespace(node),
        name: AGENT_ACCOUNT.to_owned(),
        node: node.to_owned(),
        advice: format!(
            "is the operator running, and with the name of this agent's account (--agent-account); and is the node \
             {node} labelled {HYPERVISOR_LABEL}=true?"
        ),
    }
}
