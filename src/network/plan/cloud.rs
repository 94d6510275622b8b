//! Everything that networks are made of, as the caches have it at one moment, and how to find things in it.

use std::{collections::BTreeMap, sync::Arc};

use kube::Resource;

use crate::api::{
    floating_ip::FloatingIP, hypervisor::Hypervisor, load_balancer::LoadBalancer, network::Network,
    port::Port, router::Router, security_group::SecurityGroup, server::Server, subnet::Subnet,
};

use super::{
    ledger::Given,
    sightings::Sightings,
    topology::{Origin, Uid},
};

/// All objects of a kind, the oldest first.
#[derive(Debug)]
pub struct Shelf<K> {
    all: Vec<Arc<K>>,
    /// Their places, in the order of their names: nothing is copied for it.
    named: Vec<usize>,
}

impl<K: Resource<DynamicType = ()>> Shelf<K> {
    /// Puts them in order. Equal objects make an equal shelf, whatever order they come in.
    pub fn new(mut all: Vec<Arc<K>>) -> Self {
        all.sort_by(|one, other| age(&**one).cmp(&age(&**other)));
        let mut named: Vec<usize> = (0..all.len()).collect();
        named.sort_by(|one, other| place(&*all[*one]).cmp(&place(&*all[*other])));
        Self { all, named }
    }

    /// The object of this name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&K> {
        let wanted = (namespace, name);
        let found = self
            .named
            .binary_search_by(|at| place(&*self.all[*at]).cmp(&wanted));
        let at = self.named[found.ok()?];
        self.all.get(at).map(|object| &**object)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.all.iter().map(|object| &**object)
    }
}

fn place<K: Resource>(object: &K) -> (&str, &str) {
    (home(object), name(object))
}

impl<K: Resource<DynamicType = ()>> Default for Shelf<K> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// What is older comes first; what is equally old, in the order of UIDs.
pub fn age<K: Resource>(object: &K) -> (Option<jiff::Timestamp>, &str) {
    let made = object.meta().creation_timestamp.as_ref();
    (made.map(|made| made.0), uid(object))
}

/// All of it.
#[derive(Debug, Default)]
pub struct Cloud {
    /// Networks.
    pub networks: Shelf<Network>,
    /// Subnets.
    pub subnets: Shelf<Subnet>,
    /// Ports.
    pub ports: Shelf<Port>,
    /// Routers.
    pub routers: Shelf<Router>,
    /// Security groups.
    pub groups: Shelf<SecurityGroup>,
    /// Floating IPs.
    pub floating: Shelf<FloatingIP>,
    /// Load balancers.
    pub balancers: Shelf<LoadBalancer>,
    /// Servers, which say where ports are and what they are called.
    pub servers: Shelf<Server>,
    /// Hypervisors, which say where routers' gateways can be.
    pub hypervisors: Shelf<Hypervisor>,
    /// What ports were given that is not in their statuses yet, by their UIDs.
    pub given: BTreeMap<Uid, Given>,
    /// The MTU of a tenant's network that does not say its own.
    pub tenant_mtu: u16,
    /// What OVN tells of the rest; nothing while it cannot be asked.
    pub sightings: Option<Arc<Sightings>>,
}

/// An object's UID.
pub fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

/// An object's project.
pub fn home<K: Resource>(object: &K) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

/// An object's name.
pub fn name<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// How an object is called in messages: `shop/web-1`.
pub fn full<K: Resource>(object: &K) -> String {
    format!("{}/{}", home(object), name(object))
}

/// How an object is called where its kind matters: `port shop/web-1`.
pub fn called<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}", spoken(&K::kind(&())), full(object))
}

/// A kind, as it is written in a sentence.
pub fn spoken(kind: &str) -> String {
    match kind {
        "SecurityGroup" => "security group".to_owned(),
        "FloatingIP" => "floating IP".to_owned(),
        "LoadBalancer" => "load balancer".to_owned(),
        kind => kind.to_lowercase(),
    }
}

/// Whether somebody asked for an object's deletion.
pub fn leaving<K: Resource>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Which object something is made of.
pub fn origin<K: Resource<DynamicType = ()>>(kind: &'static str, object: &K) -> Origin {
    Origin {
        kind,
        namespace: home(object).to_owned(),
        name: name(object).to_owned(),
        uid: uid(object).to_owned(),
    }
}
