//! The peer: the same domain, on the same node, by libvirt alone.
//!
//! The definition is one that Kilonova made, with another identity and files of its own. Everything but define and
//! start happens outside of the measured time: an administrator with a script would have to do it, too.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::virsh::Virsh;
use crate::node::Node;

/// Where the agent keeps its guests, as the node sees it.
pub const GUESTS: &str = "/var/lib/kilonova/guests";
/// Where the peer keeps its files, as the node sees it: not where the agent would find them.
const FOLDER: &str = "/var/lib/libvirt/images";

/// Makes and ends domains by libvirt alone.
pub struct Bare {
    node: Node,
    virsh: Virsh,
    /// The folder of the disks, as the node sees it.
    folder: String,
    /// The definition, with Kilonova's identity and the peer's files.
    definition: String,
    /// The guest that the definition was taken from.
    model: String,
    base: String,
    size: String,
}

impl Bare {
    /// Learns what a domain looks like from a guest that Kilonova runs on the node. `lane` tells several peers apart.
    pub async fn learn(node: &Node, guest: &str, lane: usize) -> Result<Self> {
        let folder = format!("{FOLDER}/bench-{lane}");
        let theirs = format!("{GUESTS}/{guest}");
        node.exec(["mkdir", "--parents", &folder]).await?;
        node.exec(["cp", &format!("{theirs}/seed.img"), &folder])
            .await?;
        let dump = [
            "virsh",
            "-c",
            "qemu:///system",
            "dumpxml",
            "--inactive",
            guest,
        ];
        let definition = node.exec(dump).await?;
        ensure!(
            definition.contains(&theirs),
            "the guest's files are not where they are expected: {theirs}"
        );
        let disk = format!("{theirs}/root.qcow2");
        let info = node
            .exec(["qemu-img", "info", "-U", "--output=json", &disk])
            .await?;
        let info: serde_json::Value = serde_json::from_str(&info)?;
        let base = info["backing-filename"].as_str();
        Ok(Self {
            node: node.clone(),
            virsh: Virsh::start(node).await?,
            definition: definition.replace(&theirs, &folder),
            folder,
            model: guest.to_owned(),
            base: base.context("the root disk is no overlay")?.to_owned(),
            size: info["virtual-size"].to_string(),
        })
    }

    /// Makes a new domain, ends it again, and returns how long define and start took.
    pub async fn round(&mut self) -> Result<Duration> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let id = id.trim();
        let overlay = format!("{}/root.qcow2", self.folder);
        let create = [
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &self.base, &overlay,
            &self.size,
        ];
        self.node.exec(create).await?;
        let file = format!("{}/domain.xml", self.folder);
        std::fs::write(self.outer(&file), self.definition.replace(&self.model, id))
            .context("failed to write the peer's definition")?;
        let took = self
            .virsh
            .run(&format!("define --file {file} ; start --domain {id}"))
            .await?;
        self.virsh
            .run(&format!("destroy --domain {id} ; undefine --domain {id}"))
            .await?;
        self.node.exec(["rm", &overlay]).await?;
        Ok(took)
    }

    /// Removes the peer's files.
    pub async fn clear(self) -> Result<()> {
        self.node.exec(["rm", "-r", &self.folder]).await.map(drop)
    }

    fn outer(&self, file: &str) -> PathBuf {
        self.node.path_of(file)
    }
}
