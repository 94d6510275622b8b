//! Interfaces of the nodes' switches that stand for guests' NICs: Open vSwitch makes a link for each, and ovn-controller
//! takes each for the port whose name it has. Ports are spread over all nodes, as guests are.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;

use super::marks::{Marks, installed};
use crate::node::Node;

const DEADLINE: Duration = Duration::from_mins(5);
/// The same, in seconds.
const TIMEOUT: &str = "--timeout=300";

/// Interfaces that are there on all nodes, and of nobody.
pub struct Plugs(Vec<OnNode>);

/// Those of one node.
struct OnNode {
    node: Node,
    count: usize,
    /// How many have been plugged in for good.
    residents: usize,
    /// Which ports have their flows on the node.
    installed: Marks,
}

impl Plugs {
    /// Makes so many, unless they are there, and begins to look at their marks. Besides, these ports are plugged in, and
    /// stay: of each, the next node has the next one.
    pub async fn prepare(nodes: Vec<Node>, count: usize, residents: &[String]) -> Result<Self> {
        let shares = nodes.len();
        let prepared = nodes.into_iter().enumerate().map(async |(at, node)| {
            let stay: Vec<String> = share(residents, at, shares).cloned().collect();
            OnNode::prepare(node, count.div_ceil(shares), &stay).await
        });
        try_join_all(prepared).await.map(Self)
    }

    /// Plugs all of these ports in at once: each is an interface's from now on.
    pub async fn plug(&self, ports: &[String]) -> Result<()> {
        let plugged = self.shares(ports).map(|(on, ports)| on.plug(ports));
        try_join_all(plugged).await.map(drop)
    }

    /// Waits until all of these have their flows; since when each of them has.
    pub async fn installed(&self, ports: &[String]) -> Result<Vec<Instant>> {
        let installed = self.shares(ports).map(async |(on, ports)| {
            let all = on.installed.all("flows of all ports", &ports, DEADLINE);
            all.await
        });
        Ok(try_join_all(installed).await?.concat())
    }

    /// Takes all of them out, and waits until their flows are gone.
    pub async fn unplug(&self, ports: &[String]) -> Result<()> {
        let unplugged = self.shares(ports).map(|(on, ports)| on.unplug(ports));
        try_join_all(unplugged).await.map(drop)
    }

    /// Removes them.
    pub async fn clear(self) -> Result<()> {
        let cleared = self.0.into_iter().map(OnNode::clear);
        try_join_all(cleared).await.map(drop)
    }

    /// Which of these ports are on which node.
    fn shares(&self, ports: &[String]) -> impl Iterator<Item = (&OnNode, Vec<String>)> {
        let all = self.0.iter().enumerate();
        all.map(|(at, on)| (on, share(ports, at, self.0.len()).cloned().collect()))
    }
}

/// The part of a node among so many.
fn share(ports: &[String], node: usize, nodes: usize) -> impl Iterator<Item = &String> {
    ports.iter().skip(node).step_by(nodes)
}

impl OnNode {
    async fn prepare(node: Node, count: usize, residents: &[String]) -> Result<Self> {
        let add = |name: String| {
            let add = ["--", "--may-exist", "add-port", "br-int"].map(str::to_owned);
            let set = ["--", "set", "Interface"].map(str::to_owned);
            let kind = "type=internal".to_owned();
            add.into_iter()
                .chain([name.clone()])
                .chain(set)
                .chain([name, kind])
        };
        let new = (0..count).flat_map(|number| add(name(number)));
        let stay = residents.iter().enumerate().flat_map(|(number, port)| {
            let port = format!("external_ids:iface-id={port}");
            add(resident(number)).chain([port])
        });
        control(&node, new.chain(stay)).await?;
        // Whoever enters the node is its parent, and the one who is ended.
        let monitor = node.command([
            "setpriv",
            "--pdeathsig=TERM",
            "ovsdb-client",
            "--format=json",
            "monitor",
            "unix:/run/openvswitch/db.sock",
            "Open_vSwitch",
            "Interface",
            "external_ids",
        ])?;
        let installed = Marks::begin(monitor, installed).await?;
        installed
            .all("flows of the ports that stay", residents, DEADLINE)
            .await?;
        Ok(Self {
            node,
            count,
            residents: residents.len(),
            installed,
        })
    }

    async fn plug(&self, ports: Vec<String>) -> Result<()> {
        let set = ports.iter().enumerate().flat_map(|(number, port)| {
            let port = format!("external_ids:iface-id={port}");
            let set = ["--", "set", "Interface"].map(str::to_owned);
            set.into_iter().chain([name(number), port])
        });
        control(&self.node, set).await
    }

    async fn unplug(&self, ports: Vec<String>) -> Result<()> {
        let remove = (0..self.count).flat_map(|number| {
            let remove = ["--", "remove", "Interface"].map(str::to_owned);
            let column = ["external_ids", "iface-id"].map(str::to_owned);
            remove.into_iter().chain([name(number)]).chain(column)
        });
        control(&self.node, remove).await?;
        let none = self
            .installed
            .none("no port to have flows", &ports, DEADLINE);
        none.await
    }

    async fn clear(self) -> Result<()> {
        let stay = (0..self.residents).map(resident);
        let all = (0..self.count).map(name).chain(stay);
        let remove = all.flat_map(|name| {
            let remove = ["--", "--if-exists", "del-port", "br-int"].map(str::to_owned);
            remove.into_iter().chain([name])
        });
        control(&self.node, remove).await
    }
}

fn name(number: usize) -> String {
    format!("bench-{number}")
}

fn resident(number: usize) -> String {
    format!("stay-{number}")
}

async fn control(node: &Node, words: impl Iterator<Item = String>) -> Result<()> {
    let control = ["ovs-vsctl", TIMEOUT].map(str::to_owned);
    node.exec(control.into_iter().chain(words)).await.map(drop)
}
