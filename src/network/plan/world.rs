//! What the survey of one kind needs of the others, and what it finds of every object.

use std::{collections::BTreeMap, sync::Arc};

use kube::Resource;

use crate::api::{router::Router, server::Server};

use super::{
    cloud::{Cloud, called, home, leaving, name, origin, spoken, uid},
    layout::Layout,
    ledger::{Ledger, Owner},
    problem::Problem,
    topology::{Origin, Uid},
};

/// The label of a Port that was made for a NIC of a Server: the Server's UID.
pub const SERVER_LABEL: &str = "kilonova.dev/server";

/// What is found of an object of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The object.
    pub origin: Origin,
    /// The generation of its spec that was looked at.
    pub generation: Option<i64>,
    /// Whether it is on its way out.
    pub leaving: bool,
    /// What is wrong with it beside the others. What is named here is left out; the rest is made.
    pub problems: Vec<Problem>,
    /// Who uses it; told only while it is on its way out.
    pub users: Vec<String>,
    /// Whether something of it is wanted of OVN.
    pub made: bool,
}

impl Seen {
    /// An object with which nothing is wrong yet.
    pub fn of<K: Resource<DynamicType = ()>>(kind: &'static str, object: &K) -> Self {
        Self {
            origin: origin(kind, object),
            generation: object.meta().generation,
            leaving: leaving(object),
            problems: Vec::new(),
            users: Vec::new(),
            made: false,
        }
    }

    /// Whether this was found of the object as it is, but for its status and labels.
    pub fn is_of<K: Resource>(&self, object: &K) -> bool {
        let meta = object.meta();
        self.generation == meta.generation && self.leaving == meta.deletion_timestamp.is_some()
    }

    /// The object as somebody who may have addresses.
    pub fn owner(&self) -> Arc<Owner> {
        let Origin {
            kind,
            namespace,
            name,
            uid,
        } = &self.origin;
        Arc::new(Owner {
            uid: uid.clone(),
            home: namespace.clone(),
            called: format!("{} {namespace}/{name}", spoken(kind)),
        })
    }
}

/// Who uses what is on its way out.
#[derive(Debug, Default)]
pub struct Users(BTreeMap<Uid, Vec<String>>);

impl Users {
    /// Notes that `used` is used by `by`. Nobody needs to know it of what stays.
    pub fn note<U, K>(&mut self, used: &U, by: &K)
    where
        U: Resource,
        K: Resource<DynamicType = ()>,
    {
        if leaving(used) {
            let users = self.0.entry(uid(used).to_owned()).or_default();
            users.push(called(by));
        }
    }

    /// Who uses the object, in order, each once.
    pub fn of(&mut self, uid: &str) -> Vec<String> {
        let mut users = self.0.remove(uid).unwrap_or_default();
        users.sort();
        users.dedup();
        users
    }
}

/// Everything that the survey of a kind reads, and where it notes what it learns.
pub struct World<'a> {
    /// All objects.
    pub cloud: &'a Cloud,
    /// Networks and subnets.
    pub layout: Layout<'a>,
    /// Who has which address.
    pub ledger: Ledger,
    /// Who uses what.
    pub users: Users,
    /// The servers that name a port of their project, the oldest first.
    pub by_port: BTreeMap<(&'a str, &'a str), Vec<&'a Server>>,
    /// Servers, by UID.
    pub servers: BTreeMap<&'a str, &'a Server>,
    /// Routers, by UID.
    pub routers: BTreeMap<&'a str, &'a Router>,
}

impl<'a> World<'a> {
    /// The world before any port was looked at.
    pub fn of(cloud: &'a Cloud) -> Self {
        let mut ledger = Ledger::default();
        let layout = Layout::of(cloud, &mut ledger);
        let mut by_port: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for server in cloud.servers.iter() {
            for port in server
                .spec
                .networks
                .iter()
                .filter_map(|nic| nic.port.as_deref())
            {
                by_port
                    .entry((home(server), port))
                    .or_default()
                    .push(server);
            }
        }
        Self {
            cloud,
            layout,
            ledger,
            users: Users::default(),
            by_port,
            servers: cloud
                .servers
                .iter()
                .map(|server| (uid(server), server))
                .collect(),
            routers: cloud
                .routers
                .iter()
                .map(|router| (uid(router), router))
                .collect(),
        }
    }
}

/// The first name of a server inside of its networks.
pub fn host_name(server: &Server) -> String {
    let given = server.spec.hostname.as_deref().unwrap_or(name(server));
    let first = given.split('.').next().unwrap_or(given);
    first.to_ascii_lowercase()
}
