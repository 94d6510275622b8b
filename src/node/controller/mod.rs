//! The agent's controllers: guests, the node's own report, its heartbeat, and what nobody wants any more.

use kube::Client;

use crate::{
    api::guest::Guest,
    cluster::{Cache, Writer},
};

use super::{disks::Disks, driver::Driver, images::ImageCache, metrics::NodeMetrics};

pub mod guard;
pub mod guest;
pub mod heartbeat;
pub mod host;
mod leftovers;
pub mod memory;
pub mod run;
#[cfg(test)]
mod stage;
pub mod steps;
pub mod storage;
pub mod sweep;

/// The field manager of everything that the agent writes.
pub const MANAGER: &str = "kilonova-agent";

/// What every controller of this room works with.
pub struct Context<D> {
    /// The node's name.
    pub node: String,
    /// The namespace that holds everything of this node.
    pub namespace: String,
    /// Where what is of the host.
    pub site: host::Site,
    /// The node's guests.
    pub guests: Cache<Guest>,
    /// Who writes.
    pub writer: Writer,
    /// The hypervisor.
    pub driver: D,
    /// The image cache.
    pub images: ImageCache,
    /// The guests' folders.
    pub disks: Disks,
    /// What this process remembers of each guest.
    pub memory: memory::Memory,
    /// What the host is, once the hypervisor has said it.
    pub host: host::Host,
    /// The host's switch.
    pub switch: host::switch::Switch,
    /// What is counted.
    pub metrics: NodeMetrics,
}

impl<D: Driver> Context<D> {
    /// What the host's report is made from.
    fn source(&self) -> host::report::Source<'_, D> {
        host::report::Source {
            node: &self.node,
            writer: &self.writer,
            driver: &self.driver,
            host: &self.host,
            switch: &self.switch,
            site: &self.site,
        }
    }

    /// The client, for reads.
    pub fn client(&self) -> Client {
        self.writer.client()
    }
}
