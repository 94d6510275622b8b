//! `kilonova agent`: connects to this node's libvirt and to its own namespace, and keeps the two in step.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use kube::{Api, runtime::watcher};
use tokio::sync::watch;
use tracing::info;

use crate::{
    api::{hypervisor::VirtType, node_namespace},
    cluster::{
        Cache, Writer,
        metrics::{self, CacheMetrics, ControllerMetrics, Registry, RequestMetrics},
        probe,
    },
    node::{
        controller::{
            self, MANAGER,
            heartbeat::beat,
            host::{Host, Site, report::Source, switch::Switch},
            memory::Memory,
            storage,
        },
        driver::Observer,
        libvirt::{Libvirt, Settings},
        metrics::{ImageMetrics, NodeMetrics, observer},
        plan::host::OPEN_VSWITCH_SOCKET,
        switch,
    },
};

use super::{
    login::{Login, Resident},
    settings::{AgentSettings, VirtTypeSetting},
};

/// How the agent runs.
#[derive(Debug, clap::Args)]
pub struct AgentArguments {
    #[command(flatten)]
    pub(super) settings: AgentSettings,
    /// Where to serve /metrics, /healthz and /readyz.
    #[arg(long, env = "KILONOVA_LISTEN", default_value = "0.0.0.0:8081")]
    listen: SocketAddr,
    /// The name of the Kubernetes node that this is.
    #[arg(long, env = "KILONOVA_NODE_NAME")]
    node_name: String,
    /// Whose account the agent works with.
    #[arg(long, env = "KILONOVA_LOGIN", value_enum, default_value = "kubeconfig")]
    login: Login,
    /// Where the host's devices are seen. An agent in a pod sees them where they were mounted; none is ever opened.
    #[arg(long, env = "KILONOVA_HOST_DEV", default_value = "/dev")]
    host_dev: PathBuf,
}

/// Everything that an agent tells Prometheus.
pub(super) struct Metrics {
    pub(super) registry: Registry,
    requests: RequestMetrics,
    controllers: ControllerMetrics,
    caches: CacheMetrics,
    node: NodeMetrics,
    images: ImageMetrics,
    observer: Observer,
}

impl Metrics {
    /// Registers all of it.
    pub(super) fn new() -> Self {
        let mut registry = metrics::registry();
        Self {
            requests: RequestMetrics::new(&mut registry),
            controllers: ControllerMetrics::new(&mut registry),
            caches: CacheMetrics::new(&mut registry),
            node: NodeMetrics::new(&mut registry),
            images: ImageMetrics::new(&mut registry),
            observer: observer(&mut registry),
            registry,
        }
    }
}

/// What the agent does before it is ready.
const READING: &str = "reading the node's guests";

fn demanded(setting: VirtTypeSetting) -> Option<VirtType> {
    match setting {
        VirtTypeSetting::Auto => None,
        VirtTypeSetting::Kvm => Some(VirtType::Kvm),
        VirtTypeSetting::Qemu => Some(VirtType::Qemu),
    }
}

fn switch_of(node: &str, namespace: &str, site: &Site) -> switch::Settings {
    switch::Settings {
        node: node.to_owned(),
        namespace: namespace.to_owned(),
        folder: site.state_dir.join("ovn"),
        socket: site.open_vswitch.clone(),
    }
}

/// Runs until it is asked to stop. Guests run on after that.
pub async fn run(arguments: AgentArguments) -> anyhow::Result<()> {
    let AgentArguments {
        settings:
            AgentSettings {
                logs: _,
                state_dir,
                libvirt_uri,
                virt_type,
                manage_open_vswitch,
            },
        listen,
        node_name,
        login,
        host_dev,
    } = arguments;
    let config = super::config().await?;
    let metrics = Metrics::new();
    let namespace = node_namespace(&node_name);
    let settings = Settings {
        uri: libvirt_uri,
        virt_type: demanded(virt_type),
        observer: metrics.observer,
    };
    let site = Site {
        state_dir,
        host_dev,
        open_vswitch: OPEN_VSWITCH_SOCKET.into(),
        libvirt_uri: settings.uri.clone(),
        virt_type: settings.virt_type,
    };
    let (ready, readiness) = watch::channel(Some(READING.to_owned()));
    let (trouble, account) = watch::channel(None);
    let probes = vec![account, readiness];
    let mut page = tokio::spawn(probe::serve(listen, metrics.registry, probes));

    let work = async {
        let mut stop = super::stop_signal()?;
        let client = tokio::select! {
            client = login.client(Resident::Agent, config, &node_name, &metrics.requests, trouble) => client?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let (driver, host) = (Libvirt::new(settings), Host::default());
        let switch = Switch::new(&site.open_vswitch);
        let writer = Writer::new(client.clone(), MANAGER);
        let source = Source {
            node: &node_name,
            writer: &writer,
            driver: &driver,
            host: &host,
            switch: &switch,
            site: &site,
        };
        let (images, disks) = tokio::select! {
            opened = storage::open(source, &metrics.images, &ready) => opened,
            // Ends when the agent is asked to stop. Whoever waits for a folder is not silent.
            () = beat(writer.clone(), namespace.clone(), node_name.clone(), stop.clone()) => return Ok(()),
        };
        ready.send_replace(Some(READING.to_owned()));
        let guests = Cache::start(
            Api::namespaced(client, &namespace),
            watcher::Config::default(),
        );
        let guests = tokio::select! {
            guests = guests => guests,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        guests.measure(&metrics.caches);
        ready.send_replace(None);
        info!(
            node = node_name,
            namespace,
            guests = guests.all().len(),
            "the agent starts"
        );
        let connected = switch_of(&node_name, &namespace, &site);
        let connected = switch::keep_connected(connected, writer.client());
        let context = Arc::new(controller::Context {
            node: node_name,
            namespace,
            site,
            guests,
            writer,
            driver,
            images,
            disks,
            memory: Memory::default(),
            host,
            switch,
            metrics: metrics.node,
        });
        // Boxed, since it is large: it holds everything that the agent does at once.
        let work = Box::pin(controller::run::all(context, metrics.controllers, stop));
        tokio::select! {
            () = work => {}
            () = connected, if manage_open_vswitch => {}
        }
        Ok(())
    };
    tokio::select! {
        result = work => result,
        served = &mut page => Ok(served??),
    }
}
