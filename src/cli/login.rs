//! Whose account what runs on a node works with.

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
    compute::plan::hypervisor,
};

/// Whose account what runs on a node works with.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Login {
    /// With the account that KUBECONFIG names, as it is.
    Kubeconfig,
    /// With its node's account, whose tokens it asks for as the account of its pod.
    Pod,
}

/// What runs on a node, each with an account of its own there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resident {
    #[cfg(feature = "libvirt")]
    Agent,
    Metadata,
}

impl Login {
    /// A client with that account. With `Pod` it waits for a first token, and `trouble` says what for.
    pub(super) async fn client(
        self,
        resident: Resident,
        config: Config,
        node: &str,
        metrics: &RequestMetrics,
        trouble: watch::Sender<Option<String>>,
    ) -> anyhow::Result<Client> {
        let client = match self {
            Self::Kubeconfig => request::client(config, metrics),
            Self::Pod => login::client(config, account(resident, node), metrics, trouble).await,
        };
        client.context(super::NO_CLIENT)
    }
}

fn account(resident: Resident, node: &str) -> Account {
    let (name, whose, option) = match resident {
        #[cfg(feature = "libvirt")]
        Resident::Agent => (hypervisor::AGENT_ACCOUNT, "this agent's", "--agent-account"),
        Resident::Metadata => (
            hypervisor::METADATA_ACCOUNT,
            "this service's",
            "--metadata-account",
        ),
    };
    Account {
        namespace: node_namespace(node),
        name: name.to_owned(),
        node: node.to_owned(),
        advice: format!(
            "is the operator running, and with the name of {whose} account ({option}); and is the node \
             {node} labelled {HYPERVISOR_LABEL}=true?"
        ),
    }
}
