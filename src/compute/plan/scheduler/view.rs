//! The scheduler's view of the cloud: every host, and everything bound to each.
//!
//! Hosts and bindings come from different objects and in any order, so a node's account is kept whether or not its
//! `Hypervisor` is there: a host that vanishes and comes back finds its servers still counted. The view is a cache
//! and never the truth; whoever keeps it can rebuild it at any time.

use std::collections::BTreeMap;

use super::{
    Placement, Request,
    amounts::Amounts,
    filter::Filter,
    host::{Candidate, Host, Usage},
    refusal::{Refusal, Tally},
    weigh::Weights,
};
use crate::api::server::Resources;

/// The scheduler's view of the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    weights: Weights,
    /// By name: their order decides between equal weights. Holds exactly the nodes that have a host or a server.
    nodes: BTreeMap<String, Node>,
    /// By the server's UID.
    bindings: BTreeMap<String, Binding>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Absent while the node's `Hypervisor` is.
    host: Option<Host>,
    usage: Usage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Binding {
    node: String,
    taken: Amounts,
}

/// A hypervisor's books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The most that all servers together may have: less the reserve, with overcommit.
    pub allocatable: Amounts,
    /// What servers have.
    pub usage: Usage,
}

impl View {
    /// A view of an empty cloud.
    pub fn new(weights: Weights) -> Self {
        Self {
            weights,
            ..Self::default()
        }
    }

    /// Where the server should go.
    ///
    /// A server that is bound already stays where it is for as long as it may: asking again, after a claim whose
    /// answer was lost, changes nothing, even when the server had taken the last room.
    pub fn place(&self, request: &Request<'_>) -> Result<Placement, Refusal> {
        let demand = Amounts::taken(request.resources);
        if let Some(node) = self.keeps(request, &demand) {
            return Ok(Placement { node });
        }
        let mut lightest: Option<(i64, &String)> = None;
        let mut tally = Tally::default();
        for (name, candidate) in self.candidates(request.uid) {
            // Weighing is cheaper than asking every filter, and few hosts are lighter than the lightest so far: the
            // filters are asked only of hosts that would win. Until one has won, that is all of them, and so the
            // tally is complete whenever it is needed.
            let weight = self.weights.weigh(&demand, &candidate);
            if lightest.is_some_and(|(least, _)| weight >= least) {
                continue;
            }
            match Filter::first_to_refuse(request, &demand, &candidate) {
                Some(filter) => tally.count(filter, &candidate),
                None => lightest = Some((weight, name)),
            }
        }
        match lightest {
            Some((_, name)) => Ok(Placement { node: name.clone() }),
            None => Err(tally.refuse(request, demand)),
        }
    }

    /// The node that the server is bound to, if it may stay there.
    fn keeps(&self, request: &Request<'_>, demand: &Amounts) -> Option<String> {
        let own = self.bindings.get(request.uid)?;
        let node = self.nodes.get(&own.node)?;
        let candidate = Candidate {
            host: node.host.as_ref()?,
            usage: node.usage.without(own.taken),
        };
        let refused = Filter::first_to_refuse(request, demand, &candidate).is_some();
        (!refused).then(|| own.node.clone())
    }

    /// Where the server should go; from now on it is counted there.
    ///
    /// The caller then writes the claim, and calls [`Self::forget`] when that was refused. A write without answer may
    /// still have landed: it stays counted until the Server has been read again.
    pub fn place_and_assume(&mut self, request: &Request<'_>) -> Result<Placement, Refusal> {
        let placement = self.place(request)?;
        self.bind(request.uid, &placement.node, request.resources);
        Ok(placement)
    }

    /// Takes note of a host as it is now. Returns whether room may have appeared: servers that wait should be
    /// placed again.
    pub fn set_host(&mut self, name: &str, host: Host) -> bool {
        let node = self.nodes.entry(name.to_owned()).or_default();
        let room = match &node.host {
            Some(before) => host.may_take_more_than(before),
            None => true,
        };
        node.host = Some(host);
        room
    }

    /// Takes note that all other hosts are gone. What is bound to them stays bound.
    pub fn retain_hosts(&mut self, stays: impl Fn(&str) -> bool) {
        for (_, node) in self.nodes.iter_mut().filter(|(name, _)| !stays(name)) {
            node.host = None;
        }
        self.nodes
            .retain(|_, node| node.host.is_some() || node.usage.servers > 0);
    }

    /// Takes note that a server is bound to a node, known or not. Doing so twice changes nothing; a server that was
    /// bound elsewhere moves. Returns whether an earlier binding of the server was given up: room may have appeared.
    pub fn bind(&mut self, uid: &str, node: &str, resources: Resources) -> bool {
        let taken = Amounts::taken(resources);
        let same = |bound: &Binding| bound.node == node && bound.taken == taken;
        if self.bindings.get(uid).is_some_and(same) {
            return false;
        }
        let moved = self.forget(uid);
        let account = &mut self.nodes.entry(node.to_owned()).or_default().usage;
        *account = account.with(taken);
        let binding = Binding {
            node: node.to_owned(),
            taken,
        };
        self.bindings.insert(uid.to_owned(), binding);
        moved
    }

    /// Takes note that a server is bound to nothing. Returns whether it was: room may have appeared.
    pub fn forget(&mut self, uid: &str) -> bool {
        let Some(Binding { node, taken }) = self.bindings.remove(uid) else {
            return false;
        };
        if let Some(node) = self.nodes.get_mut(&node) {
            node.usage = node.usage.without(taken);
        }
        self.drop_if_empty(&node);
        true
    }

    /// Replaces all bindings: the view counts exactly these. Returns whether room may have appeared.
    ///
    /// Assumption: the caller names claims that are still being written too. One that is left out is counted no
    /// more, and its room could be given away twice.
    pub fn rebind_all<'a>(
        &mut self,
        bindings: impl IntoIterator<Item = (&'a str, &'a str, Resources)>,
    ) -> bool {
        let before: BTreeMap<String, Usage> = self
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), node.usage))
            .collect();
        self.bindings.clear();
        self.nodes.retain(|_, node| node.host.is_some());
        for node in self.nodes.values_mut() {
            node.usage = Usage::default();
        }
        for (uid, node, resources) in bindings {
            self.bind(uid, node, resources);
        }
        before
            .iter()
            .any(|(name, usage)| usage.taken.exceeds(&self.usage(name).taken))
    }

    /// What is bound to a node.
    pub fn usage(&self, node: &str) -> Usage {
        self.nodes
            .get(node)
            .map(|node| node.usage)
            .unwrap_or_default()
    }

    /// The books of every node, by name. A node whose `Hypervisor` is gone has nothing to give.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, Account)> {
        self.nodes.iter().map(|(name, node)| {
            let account = Account {
                allocatable: node
                    .host
                    .as_ref()
                    .map(|host| host.promised)
                    .unwrap_or_default(),
                usage: node.usage,
            };
            (name.as_str(), account)
        })
    }

    /// Every host by name, with what it carries apart from the server that asks.
    fn candidates(&self, uid: &str) -> impl Iterator<Item = (&String, Candidate<'_>)> {
        let own = self.bindings.get(uid);
        self.nodes.iter().filter_map(move |(name, node)| {
            let host = node.host.as_ref()?;
            let usage = match own {
                Some(own) if own.node == *name => node.usage.without(own.taken),
                Some(_) | None => node.usage,
            };
            Some((name, Candidate { host, usage }))
        })
    }

    /// A node that has neither a host nor a server is not worth remembering.
    fn drop_if_empty(&mut self, name: &str) {
        let empty = |node: &Node| node.host.is_none() && node.usage.servers == 0;
        if self.nodes.get(name).is_some_and(empty) {
            self.nodes.remove(name);
        }
    }
}

#[cfg(test)]
impl View {
    pub(super) fn remove_host(&mut self, name: &str) {
        self.retain_hosts(|known| known != name);
    }

    pub(super) fn has_host(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.host.is_some())
    }

    pub(super) fn weight_on(&self, name: &str, demand: &Amounts) -> Option<i64> {
        let node = self.nodes.get(name)?;
        let host = node.host.as_ref()?;
        let usage = node.usage;
        Some(self.weights.weigh(demand, &Candidate { host, usage }))
    }
}
