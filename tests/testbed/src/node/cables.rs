//! A node's cables: to the testbed's bridge, to the other nodes' switches, and outside.
//!
//! ```text
//!   bridge   ── cable ══ eth0 (the node's address)      │
//!   underlay ── cable ══ eth1 ─ br-phy (its tunnels')   │ node
//!   outside  ── cable ══ eth2 ─ br-ex  (none)           │
//! ```
//!
//! The node gets no default route: nothing it sends leaves this machine. What leaves a switch in userspace has all its
//! checksums, and what enters it must: nobody behind it fills them in. A kernel leaves them out as long as it thinks that
//! all is in memory, so it is told otherwise on links that lead to one.

use anyhow::{Context, Result};

use crate::command::run_with_input;
use crate::network::{attach, ensure_cable, remove_link};
use crate::part::in_namespaces;
use crate::slot::Slot;

use super::Node;

/// What the node's kernel must not see.
const FIREWALL: &str = include_str!("firewall.nft");
/// The node's end of its cable to the testbed's bridge.
const MAIN: &str = "eth0";
/// Its end of the cable to the underlay.
const UNDERLAY: &str = "eth1";
/// Its end of the cable to the outside.
const OUTSIDE: &str = "eth2";

impl Node {
    /// Connects the node.
    pub(super) async fn plug_in(&self) -> Result<()> {
        let (init, slot, number) = (self.init()?, self.slot, self.number);
        let nft = ["nft", "--file", "-"].map(str::to_owned);
        run_with_input(&mut in_namespaces(init, &nft), FIREWALL.as_bytes())
            .await
            .context("failed to write the node's firewall (is nftables in the kernel?)")?;
        let hardware = slot.node_hardware_address(number);
        for (cable, bridge, inner, hardware) in [
            (slot.cable(number), slot.bridge(), MAIN, Some(hardware)),
            (
                slot.node_underlay_cable(number),
                slot.underlay_bridge(),
                UNDERLAY,
                None,
            ),
            (
                slot.node_outside_cable(number),
                slot.outside_bridge(),
                OUTSIDE,
                None,
            ),
        ] {
            ensure_cable(&cable, init, inner, hardware.as_deref()).await?;
            attach(&cable, &bridge).await?;
        }
        let address = format!("{}/{}", self.address(), Slot::PREFIX_LENGTH);
        for line in [
            "ip link set lo up",
            &format!("ip address replace {address} dev {MAIN}"),
            &format!("ethtool -K {UNDERLAY} tx off"),
            &format!("ethtool -K {OUTSIDE} tx off"),
            &format!("ip link set {MAIN} up"),
            &format!("ip link set {UNDERLAY} up"),
            &format!("ip link set {OUTSIDE} up"),
        ] {
            self.exec(line.split(' ')).await?;
        }
        Ok(())
    }

    /// Removes this machine's ends of a node's cables. The kernel does so, too, some time after the node's end; a new
    /// cable needs the name of the old one.
    pub(super) async fn unplug(&self) -> Result<()> {
        let (slot, number) = (self.slot, self.number);
        for cable in [
            slot.cable(number),
            slot.node_underlay_cable(number),
            slot.node_outside_cable(number),
        ] {
            remove_link(&cable).await?;
        }
        Ok(())
    }
}
