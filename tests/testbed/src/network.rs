//! The bridges of a testbed, and the cables from them into namespaces. Nothing is routed from them anywhere: traffic stays
//! on this machine.
//!
//! ```text
//!   bridge    this machine, and every node
//!   underlay  every node's switch
//!   outside   every node's switch, and the outside
//! ```

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{command, run, run_line};
use crate::slot::Slot;

/// Makes the bridges. This machine has an address on one of them only.
pub async fn ensure(slot: Slot) -> Result<()> {
    for bridge in bridges(slot) {
        ensure_bridge(&bridge).await?;
    }
    let (bridge, address) = (slot.bridge(), slot.host_address());
    let length = Slot::PREFIX_LENGTH;
    run_line(&format!(
        "ip address replace {address}/{length} dev {bridge}"
    ))
    .await
    .map(drop)
}

/// Removes what [`ensure`] makes.
pub(crate) async fn remove(slot: Slot) -> Result<()> {
    for bridge in bridges(slot) {
        remove_link(&bridge).await?;
    }
    remove_link(&slot.outside_cable()).await
}

fn bridges(slot: Slot) -> [String; 3] {
    [slot.bridge(), slot.underlay_bridge(), slot.outside_bridge()]
}

async fn ensure_bridge(bridge: &str) -> Result<()> {
    if !link_exists(bridge) {
        run_line(&format!("ip link add {bridge} type bridge"))
            .await
            .context("failed to make the testbed's bridge (is this program run as root?)")?;
    }
    disable_ipv6(bridge);
    run_line(&format!("ip link set {bridge} up"))
        .await
        .map(drop)
}

/// Makes a cable from this machine (`outer`) into the network namespace of a process (`inner`), unless it is there.
pub(crate) async fn ensure_cable(
    outer: &str,
    process: i32,
    inner: &str,
    inner_hardware: Option<&str>,
) -> Result<()> {
    let target = process.to_string();
    let enter = ["nsenter", "--net", "--target", &target, "--"];
    let show = enter.into_iter().chain(["ip", "link", "show", inner]);
    if link_exists(outer) && run(&mut command(show)).await.is_ok() {
        return Ok(());
    }
    // Of a namespace that has ended: the kernel removes it some time after.
    remove_link(outer).await?;
    let hardware = inner_hardware.map_or_else(String::new, |address| format!("address {address}"));
    run_line(&format!(
        "ip link add {outer} type veth peer name {inner} {hardware} netns {process}"
    ))
    .await
    .map(drop)
}

/// Plugs this machine's end of a cable into a bridge.
pub(crate) async fn attach(cable: &str, bridge: &str) -> Result<()> {
    disable_ipv6(cable);
    run_line(&format!("ip link set {cable} master {bridge} up"))
        .await
        .map(drop)
}

/// Nodes are few and nothing listens to router advertisements; link-local addresses would only be noise.
fn disable_ipv6(link: &str) {
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1");
}

/// Whether this machine has a link of that name.
fn link_exists(name: &str) -> bool {
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
