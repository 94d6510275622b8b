//! The controllers of the operator's network room.
//!
//! One task looks at the whole cloud whenever something changed ([`survey`]): what is to be made goes to the realiser, and
//! what was found of each object to that object's reconciler, which gives it what it lacks and says how it stands. Ports, which
//! come in thousands, are given what they lack by the survey itself.

use std::{collections::BTreeMap, sync::Arc};

use kube::{Api, Client, runtime::watcher};
use tokio::sync::{broadcast, watch};

use crate::{
    api::{
        floating_ip::FloatingIP, hypervisor::Hypervisor, load_balancer::LoadBalancer,
        network::Network, port::Port, router::Router, security_group::SecurityGroup,
        server::Server, subnet::Subnet,
    },
    cluster::{Cache, Writer, metrics::CacheMetrics, reporter::Reporter},
};

use super::{
    allocator::Allocator,
    metrics::NetworkMetrics,
    observer::Observer,
    plan::{
        cloud::{Cloud, Shelf},
        ledger::Given,
        sightings::Sightings,
        survey::Findings,
        topology::{Origin, Uid},
    },
    realiser::{Realiser, Standing},
};

pub mod kind;
mod kinds;
mod late;
pub mod reconcile;
pub mod run;
pub mod survey;

use late::Late;

/// What the controllers read.
#[derive(Clone)]
pub struct Caches {
    /// Networks.
    pub networks: Arc<Cache<Network>>,
    /// Subnets.
    pub subnets: Arc<Cache<Subnet>>,
    /// Ports.
    pub ports: Arc<Cache<Port>>,
    /// Routers.
    pub routers: Arc<Cache<Router>>,
    /// Security groups.
    pub groups: Arc<Cache<SecurityGroup>>,
    /// Floating IPs.
    pub floating: Arc<Cache<FloatingIP>>,
    /// Load balancers.
    pub balancers: Arc<Cache<LoadBalancer>>,
    /// Servers.
    pub servers: Arc<Cache<Server>>,
    /// Hypervisors.
    pub hypervisors: Arc<Cache<Hypervisor>>,
}

impl Caches {
    /// Starts the watches of this room's kinds; returns once every copy is complete.
    pub async fn start(
        client: &Client,
        servers: Arc<Cache<Server>>,
        hypervisors: Arc<Cache<Hypervisor>>,
    ) -> Self {
        let everything = watcher::Config::default;
        let all = || client.clone();
        let (networks, subnets, ports, routers, groups, floating, balancers) = tokio::join!(
            Cache::start(Api::all(all()), everything()),
            Cache::start(Api::all(all()), everything()),
            Cache::start(Api::all(all()), everything()),
            Cache::start(Api::all(all()), everything()),
            Cache::start(Api::all(all()), everything()),
            Cache::start(Api::all(all()), everything()),
            Cache::start(Api::all(all()), everything()),
        );
        Self {
            networks: Arc::new(networks),
            subnets: Arc::new(subnets),
            ports: Arc::new(ports),
            routers: Arc::new(routers),
            groups: Arc::new(groups),
            floating: Arc::new(floating),
            balancers: Arc::new(balancers),
            servers,
            hypervisors,
        }
    }

    /// Counts from now on what each of them cannot read.
    pub fn measure(&self, metrics: &CacheMetrics) {
        let Self {
            networks,
            subnets,
            ports,
            routers,
            groups,
            floating,
            balancers,
            servers: _,
            hypervisors: _,
        } = self;
        networks.measure(metrics);
        subnets.measure(metrics);
        ports.measure(metrics);
        routers.measure(metrics);
        groups.measure(metrics);
        floating.measure(metrics);
        balancers.measure(metrics);
    }

    /// Everything, as it is now.
    fn cloud(
        &self,
        given: BTreeMap<Uid, Given>,
        tenant_mtu: u16,
        sightings: Option<Arc<Sightings>>,
    ) -> Cloud {
        Cloud {
            networks: Shelf::new(self.networks.all()),
            subnets: Shelf::new(self.subnets.all()),
            ports: Shelf::new(self.ports.all()),
            routers: Shelf::new(self.routers.all()),
            groups: Shelf::new(self.groups.all()),
            floating: Shelf::new(self.floating.all()),
            balancers: Shelf::new(self.balancers.all()),
            servers: Shelf::new(self.servers.all()),
            hypervisors: Shelf::new(self.hypervisors.all()),
            given,
            tenant_mtu,
            sightings,
        }
    }
}

/// What the last survey found.
#[derive(Debug, Default)]
pub struct Picture {
    /// Which survey it was: the first is 1.
    pub survey: u64,
    /// What it found.
    pub findings: Findings,
}

/// Whom to look at.
#[derive(Clone, Debug)]
pub enum Call {
    /// These.
    These(Arc<Vec<Origin>>),
    /// Everybody.
    All,
}

/// How many calls a listener may miss before it looks at everybody.
const CALLS_MAX: usize = 256;

/// What every controller of this room works with. Made anew for each lead.
pub struct Context {
    /// What is.
    pub caches: Caches,
    /// Who writes.
    pub writer: Writer,
    /// Who tells users.
    pub reporter: Reporter,
    /// Who gives out addresses.
    pub allocator: Allocator,
    /// Who makes OVN agree; none while networks are off.
    pub realiser: Option<Realiser>,
    /// Who listens to what OVN tells; none if nobody said where.
    pub observer: Option<Observer>,
    /// The MTU of a tenant's network that does not say its own.
    pub tenant_mtu: u16,
    /// What is counted.
    pub metrics: NetworkMetrics,
    /// Whose news is told a little later.
    late: Late,
    /// What the last survey found.
    pub picture: watch::Sender<Arc<Picture>>,
    /// Whom to look at.
    pub calls: broadcast::Sender<Call>,
}

impl Context {
    /// A context before the first survey.
    pub fn new(
        caches: Caches,
        writer: Writer,
        reporter: Reporter,
        (realiser, observer): (Option<Realiser>, Option<Observer>),
        tenant_mtu: u16,
        metrics: NetworkMetrics,
    ) -> Self {
        Self {
            caches,
            writer,
            reporter,
            allocator: Allocator::default(),
            realiser,
            observer,
            tenant_mtu,
            metrics,
            late: Late::default(),
            picture: watch::Sender::default(),
            calls: broadcast::Sender::new(CALLS_MAX),
        }
    }

    /// How an object stands in OVN.
    fn standing(&self, uid: &str) -> Standing {
        match &self.realiser {
            Some(realiser) => realiser.standing(uid),
            None => Standing::Unknown(OFF.to_owned()),
        }
    }
}

/// What objects say while nobody makes them real.
const OFF: &str = "networks are off: the operator was not told of OVN's northbound database; an administrator can set operator.settings.ovnNorthbound of the chart (--ovn-northbound)";
