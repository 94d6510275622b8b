//! Interfaces of a node's switch that stand for guests' NICs: Open vSwitch makes a link for each, and ovn-controller takes
//! each for the port whose name it has.

use std::time::Duration;

use anyhow::Result;

use super::marks::{Marks, installed};
use crate::node::Node;

const DEADLINE: Duration = Duration::from_mins(5);
/// The same, in seconds.
const TIMEOUT: &str = "--timeout=300";

/// Interfaces that are there, and of nobody.
pub struct Plugs {
    node: Node,
    count: usize,
    /// Which ports have their flows on the node.
    pub installed: Marks,
}

impl Plugs {
    /// Makes them, unless they are there, and begins to look at their marks.
    pub async fn prepare(node: Node, count: usize) -> Result<Self> {
        let add = (0..count).flat_map(|number| {
            let name = name(number);
            let add = ["--", "--may-exist", "add-port", "br-int"].map(str::to_owned);
            let set = ["--", "set", "Interface"].map(str::to_owned);
            let kind = "type=internal".to_owned();
            add.into_iter()
                .chain([name.clone()])
                .chain(set)
                .chain([name, kind])
        });
        control(&node, add).await?;
        let monitor = node.command([
            "ovsdb-client",
            "--format=json",
            "monitor",
            "unix:/run/openvswitch/db.sock",
            "Open_vSwitch",
            "Interface",
            "external_ids",
        ])?;
        let installed = Marks::begin(monitor, installed).await?;
        Ok(Self {
            node,
            count,
            installed,
        })
    }

    /// Plugs all of them in at once: each is one of these ports from now on.
    pub async fn plug(&self, ports: &[String]) -> Result<()> {
        let set = ports.iter().enumerate().flat_map(|(number, port)| {
            let port = format!("external_ids:iface-id={port}");
            let set = ["--", "set", "Interface"].map(str::to_owned);
            set.into_iter().chain([name(number), port])
        });
        control(&self.node, set).await
    }

    /// Takes all of them out, and waits until their flows are gone.
    pub async fn unplug(&self, ports: &[String]) -> Result<()> {
        let remove = (0..self.count).flat_map(|number| {
            let remove = ["--", "remove", "Interface"].map(str::to_owned);
            let column = ["external_ids", "iface-id"].map(str::to_owned);
            remove.into_iter().chain([name(number)]).chain(column)
        });
        control(&self.node, remove).await?;
        let none = self
            .installed
            .none("no port to have flows", ports, DEADLINE);
        none.await
    }

    /// Removes them.
    pub async fn clear(self) -> Result<()> {
        // Whoever looks at them on the node ends when there is something to say and nobody who hears it.
        drop(self.installed);
        let remove = (0..self.count).flat_map(|number| {
            let remove = ["--", "--if-exists", "del-port", "br-int"].map(str::to_owned);
            remove.into_iter().chain([name(number)])
        });
        control(&self.node, remove).await
    }
}

fn name(number: usize) -> String {
    format!("bench-{number}")
}

async fn control(node: &Node, words: impl Iterator<Item = String>) -> Result<()> {
    let control = ["ovs-vsctl", TIMEOUT].map(str::to_owned);
    node.exec(control.into_iter().chain(words)).await.map(drop)
}
