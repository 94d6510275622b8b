//! A node's cables: to the testbed's bridge, to the other nodes' switches, and outside.
//!
//! ```text
//!   bridge   ── cable ══ eth0 (the node's address)      │
//!   underlay ── cable ══ eth1 ─ br-phy (its tunnels')   │ node
//!   outside  ── cable ══ eth2 ─ br-ex  (none)           │
//! ```
//!
//! The node gets no default route: nothing it sends leaves this machine. A switch in userspace does not fill checksums
//! in, and a kernel leaves them to whoever is next as long as it thinks that all is in memory: so it is told otherwise
//! on every link that leads to a switch.

use anyhow::{Context, Result};

use crate::command::{run_line, run_with_input};
use crate::network::{link_exists, remove_link};
use crate::outside::Outside;
use crate::part::in_namespaces;
use crate::slot::Slot;

use super::Node;

/// What the node's kernel must not see.
const FIREWALL: &str = include_str!("firewall.nft");
/// The node's end of its cable to the testbed's bridge.
const MAIN: &str = "eth0";
/// Its end of the cable to the underlay.
pub(super) const UNDERLAY: &str = "eth1";
/// Its end of the cable to the outside.
pub(super) const OUTSIDE: &str = "eth2";

impl Node {
    /// Connects the node.
    pub(super) async fn plug_in(&self) -> Result<()> {
        let nft = ["nft", "--file", "-"].map(str::to_owned);
        run_with_input(&mut in_namespaces(self.init()?, &nft), FIREWALL.as_bytes())
            .await
            .context("failed to write the node's firewall (is nftables in the kernel?)")?;
        self.exec(["ip", "link", "set", "lo", "up"]).await?;
        self.plug_in_main().await?;
        self.plug_in_underlay().await?;
        self.plug_in_outside().await
    }

    /// Removes this machine's ends of a node's cables. The kernel does so, too, some time after the node's end; a new
    /// cable needs the name of the old one.
    pub(super) async fn unplug(&self) -> Result<()> {
        remove_link(&self.slot.cable(self.number)).await?;
        remove_link(&self.slot.underlay_cable(self.number)).await?;
        self.outside().remove_link(&self.name).await
    }

    async fn plug_in_main(&self) -> Result<()> {
        let cable = self.slot.cable(self.number);
        let hardware = self.slot.node_hardware_address(self.number);
        let peer = format!("{MAIN} address {hardware}");
        self.ensure_cable(&cable, MAIN, &peer).await?;
        attach(&cable, &self.slot.bridge()).await?;
        let address = format!("{}/{}", self.address(), Slot::PREFIX_LENGTH);
        let give = ["ip", "address", "replace", &address, "dev", MAIN];
        self.exec(give).await?;
        self.set_up(MAIN).await
    }

    async fn plug_in_underlay(&self) -> Result<()> {
        let cable = self.slot.underlay_cable(self.number);
        self.ensure_cable(&cable, UNDERLAY, UNDERLAY).await?;
        attach(&cable, &self.slot.underlay_bridge()).await?;
        self.fill_in_checksums(UNDERLAY).await?;
        self.set_up(UNDERLAY).await
    }

    async fn plug_in_outside(&self) -> Result<()> {
        let outside = self.outside();
        let has_inner = self.has_link(OUTSIDE).await;
        if !(has_inner && outside.has_link(&self.name).await) {
            outside.remove_link(&self.name).await?;
            let (there, here) = (outside.init()?, self.init()?);
            let name = &self.name;
            run_line(&format!(
                "ip link add {name} netns {there} type veth peer name {OUTSIDE} netns {here}"
            ))
            .await?;
        }
        outside.attach(&self.name).await?;
        self.fill_in_checksums(OUTSIDE).await?;
        self.set_up(OUTSIDE).await
    }

    /// Makes a cable between this machine (`outer`) and the node (`inner`), unless it is there; `peer` describes the
    /// node's end.
    async fn ensure_cable(&self, outer: &str, inner: &str, peer: &str) -> Result<()> {
        if self.has_link(inner).await && link_exists(outer) {
            return Ok(());
        }
        remove_link(outer).await?;
        let init = self.init()?;
        run_line(&format!(
            "ip link add {outer} type veth peer name {peer} netns {init}"
        ))
        .await
        .map(drop)
    }

    async fn has_link(&self, name: &str) -> bool {
        self.exec(["ip", "link", "show", name]).await.is_ok()
    }

    async fn set_up(&self, link: &str) -> Result<()> {
        self.exec(["ip", "link", "set", link, "up"]).await.map(drop)
    }

    async fn fill_in_checksums(&self, link: &str) -> Result<()> {
        let off = ["ethtool", "-K", link, "tx", "off"];
        self.exec(off).await.map(drop)
    }

    fn outside(&self) -> Outside {
        Outside::new(&self.layout)
    }
}

async fn attach(cable: &str, bridge: &str) -> Result<()> {
    run_line(&format!("ip link set {cable} master {bridge} up"))
        .await
        .map(drop)
}
