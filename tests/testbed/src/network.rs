//! The bridge that a testbed's nodes hang on. Nothing is routed from it anywhere: traffic stays on this machine.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::run_line;
use crate::slot::Slot;

/// Makes the bridge and gives this machine its address on it.
pub async fn ensure(slot: Slot) -> Result<()> {
    let bridge = slot.bridge();
    if !link_exists(&bridge) {
        run_line(&format!("ip link add {bridge} type bridge"))
            .await
            .context("failed to make the testbed's bridge (is this program run as root?)")?;
    }
    // Nodes are few and nothing listens to router advertisements; link-local addresses would only be noise.
    let _ = std::fs::write(
        format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"),
        "1",
    );
    let address = format!("{}/{}", slot.host_address(), Slot::PREFIX_LENGTH);
    run_line(&format!("ip address replace {address} dev {bridge}")).await?;
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
