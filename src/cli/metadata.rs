//! `kilonova metadata`: makes a network namespace, connects to this node's switch and to its own namespace of the cluster,
//! and tells guests of themselves.

use std::net::SocketAddr;

use anyhow::Context as _;
use kube::{Api, runtime::watcher};
use tokio::sync::watch;
use tracing::info;

use crate::{
    api::node_namespace,
    cluster::{
        Cache,
        metrics::{self, CacheMetrics, Registry, RequestMetrics},
        probe,
    },
    metadata::{
        metrics::MetadataMetrics,
        namespace::Namespace,
        run::{self, Service},
    },
    ovsdb::{Endpoint, vswitch},
};

use super::{
    login::{Login, Resident},
    settings::MetadataSettings,
};

/// How the metadata service runs.
#[derive(Debug, clap::Args)]
pub struct MetadataArguments {
    #[command(flatten)]
    pub(super) settings: MetadataSettings,
    /// Where to serve /metrics, /healthz and /readyz.
    #[arg(long, env = "KILONOVA_LISTEN", default_value = "0.0.0.0:8082")]
    listen: SocketAddr,
    /// The name of the Kubernetes node that this is.
    #[arg(long, env = "KILONOVA_NODE_NAME")]
    node_name: String,
    /// Whose account the service works with.
    #[arg(long, env = "KILONOVA_LOGIN", value_enum, default_value = "kubeconfig")]
    login: Login,
    /// Where the database of this host's Open vSwitch listens.
    #[arg(long, env = "KILONOVA_OPEN_VSWITCH", default_value = vswitch::ENDPOINT)]
    open_vswitch: Endpoint,
}

/// Everything that the service tells Prometheus.
pub(super) struct Metrics {
    pub(super) registry: Registry,
    requests: RequestMetrics,
    caches: CacheMetrics,
    service: MetadataMetrics,
}

impl Metrics {
    /// Registers all of it.
    pub(super) fn new() -> Self {
        let mut registry = metrics::registry();
        Self {
            requests: RequestMetrics::new(&mut registry),
            caches: CacheMetrics::new(&mut registry),
            service: MetadataMetrics::new(&mut registry),
            registry,
        }
    }
}

/// Makes the namespace and gives up rights, which has to be done before there is a runtime.
pub fn prepare() -> anyhow::Result<Namespace> {
    Namespace::make().context("the metadata service cannot begin")
}

/// Runs until it is asked to stop.
pub async fn run(arguments: MetadataArguments, network: Namespace) -> anyhow::Result<()> {
    let MetadataArguments {
        settings: MetadataSettings { logs: _ },
        listen,
        node_name,
        login,
        open_vswitch,
    } = arguments;
    let config = super::config().await?;
    let metrics = Metrics::new();
    let namespace = node_namespace(&node_name);
    let (ready, readiness) = watch::channel(Some("reading the node's guests".to_owned()));
    let (trouble, account) = watch::channel(None);
    let probes = vec![account, readiness];
    let mut page = tokio::spawn(probe::serve(listen, metrics.registry, probes));

    let work = async {
        let mut stop = super::stop_signal()?;
        let client = tokio::select! {
            client = login.client(Resident::Metadata, config, &node_name, &metrics.requests, trouble) => client?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let guests = Cache::start(
            Api::namespaced(client.clone(), &namespace),
            watcher::Config::default(),
        );
        let guests = tokio::select! {
            guests = guests => guests,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        guests.measure(&metrics.caches);
        info!(
            node = node_name,
            namespace,
            guests = guests.all().len(),
            "the metadata service starts"
        );
        let service = Service {
            namespace,
            network,
            switch: open_vswitch,
            guests,
            client,
            metrics: metrics.service,
        };
        Ok(run::run(service, ready, stop).await?)
    };
    tokio::select! {
        result = work => result,
        served = &mut page => Ok(served??),
    }
}
