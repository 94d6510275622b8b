//! The bridges that a testbed's nodes hang on. Nothing is routed from them anywhere: traffic stays on this machine.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::run_line;
use crate::slot::Slot;

/// Makes the bridge of the nodes, on which this machine has an address, and that of their switches, on which it has none.
pub async fn ensure(slot: Slot) -> Result<()> {
    let bridge = slot.bridge();
    ensure_bridge(&bridge).await?;
    let address = format!("{}/{}", slot.host_address(), Slot::PREFIX_LENGTH);
    run_line(&format!("ip address replace {address} dev {bridge}")).await?;
    ensure_bridge(&slot.underlay_bridge()).await
}

/// Removes what [`ensure`] makes.
pub(crate) async fn remove(slot: Slot) -> Result<()> {
    remove_link(&slot.bridge()).await?;
    remove_link(&slot.underlay_bridge()).await
}

async fn ensure_bridge(bridge: &str) -> Result<()> {
    if !link_exists(bridge) {
        run_line(&format!("ip link add {bridge} type bridge"))
            .await
            .context("failed to make the testbed's bridge (is this program run as root?)")?;
    }
    // Nodes are few and nothing listens to router advertisements; link-local addresses would only be noise.
    let _ = std::fs::write(
        format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"),
        "1",
    );
    run_line(&format!("ip link set {bridge} up")).await?;
    Ok(())
}

/// Whether this machine has a link of that name.
pub(crate) fn link_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Removes a link, if it is there.
pub(crate) async fn remove_link(name: &str) -> Result<()> {
    if link_exists(name) {
        let removed = run_line(&format!("ip link delete {name}")).await;
        // The other end may have gone with its namespace in the meantime.
        if link_exists(name) {
            removed?;
        }
    }
    Ok(())
}
