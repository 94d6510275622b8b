//! The controllers of the operator's compute room: each gathers, asks its plan, acts, and reports.

use std::sync::Arc;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
use kube::{
    Api, Client,
    core::{DeserializeGuard, Resource},
    runtime::watcher,
};

use crate::{
    api::{
        HEARTBEAT_LABEL, HYPERVISOR_LABEL, flavor::Flavor, guest::Guest, hypervisor::Hypervisor,
        image::Image, key_pair::KeyPair, port::Port, server::Server, server_action::ServerAction,
    },
    cluster::{Cache, Writer, metrics::CacheMetrics, reporter::Reporter},
};

use super::{metrics::ServerMetrics, plan::hypervisor::PodAccounts, scheduler::Scheduler};

pub mod action;
pub mod catalogue;
pub mod census;
pub mod heartbeat;
pub mod hypervisor;
pub mod node;
pub mod ports;
pub mod run;
pub mod server;

#[cfg(test)]
mod fixtures;

/// The field manager of everything that the operator writes, but for what [`action`] hands to nodes.
pub const MANAGER: &str = "kilonova-operator";

/// What the controllers read.
#[derive(Clone)]
pub struct Caches {
    /// Flavors.
    pub flavors: Arc<Cache<Flavor>>,
    /// Images.
    pub images: Arc<Cache<Image>>,
    /// Key pairs.
    pub key_pairs: Arc<Cache<KeyPair>>,
    /// Servers.
    pub servers: Arc<Cache<Server>>,
    /// Ports.
    pub ports: Arc<Cache<Port>>,
    /// Actions.
    pub actions: Arc<Cache<ServerAction>>,
    /// Guests.
    pub guests: Arc<Cache<Guest>>,
    /// Hypervisors.
    pub hypervisors: Arc<Cache<Hypervisor>>,
    /// Kubernetes nodes that are labelled as hypervisors.
    pub nodes: Arc<Cache<Node>>,
    /// Heartbeats of agents.
    pub leases: Arc<Cache<Lease>>,
}

impl Caches {
    /// Starts every watch; returns once every copy is complete.
    pub async fn start(client: &Client) -> Self {
        let labelled = watcher::Config::default().labels(&format!("{HYPERVISOR_LABEL}=true"));
        let beating = watcher::Config::default().labels(&format!("{HEARTBEAT_LABEL}=true"));
        let everything = watcher::Config::default;
        let (
            flavors,
            images,
            key_pairs,
            servers,
            ports,
            actions,
            guests,
            hypervisors,
            nodes,
            leases,
        ) = tokio::join!(
            Cache::start(all(client), everything()),
            Cache::start(all(client), everything()),
            Cache::start(all(client), everything()),
            Cache::start(all(client), everything()),
            Cache::start(all(client), everything()),
            Cache::start(all(client), everything()),
            Cache::start(all(client), everything()),
            Cache::start(all(client), everything()),
            Cache::start(all(client), labelled),
            Cache::start(all(client), beating),
        );
        Self {
            flavors: Arc::new(flavors),
            images: Arc::new(images),
            key_pairs: Arc::new(key_pairs),
            servers: Arc::new(servers),
            ports: Arc::new(ports),
            actions: Arc::new(actions),
            guests: Arc::new(guests),
            hypervisors: Arc::new(hypervisors),
            nodes: Arc::new(nodes),
            leases: Arc::new(leases),
        }
    }
}

impl Caches {
    /// Counts from now on what each of them cannot read.
    pub fn measure(&self, metrics: &CacheMetrics) {
        let Self {
            flavors,
            images,
            key_pairs,
            servers,
            ports,
            actions,
            guests,
            hypervisors,
            nodes,
            leases,
        } = self;
        flavors.measure(metrics);
        images.measure(metrics);
        key_pairs.measure(metrics);
        servers.measure(metrics);
        ports.measure(metrics);
        actions.measure(metrics);
        guests.measure(metrics);
        hypervisors.measure(metrics);
        nodes.measure(metrics);
        leases.measure(metrics);
    }
}

fn all<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DeserializeGuard<K>> {
    Api::all(client.clone())
}

/// What every controller of this room works with.
pub struct Context {
    /// What is.
    pub caches: Caches,
    /// Who writes.
    pub writer: Writer,
    /// Who tells users.
    pub reporter: Reporter,
    /// Who places.
    pub scheduler: Arc<Scheduler>,
    /// What is remembered of ports.
    pub ports: ports::Ports,
    /// When nodes were last heard of.
    pub heartbeats: heartbeat::Heartbeats,
    /// Who agents are before they are their nodes, if they run in pods.
    pub pod_accounts: PodAccounts,
    /// What is counted of servers.
    pub metrics: ServerMetrics,
}
