//! The testbed itself, on real parts: needs root, and makes real namespaces, links and processes.

mod container;
mod guardian;
mod inside;
mod lifecycle;
mod machine;
mod switch;
mod traces;

use anyhow::Result;
use testbed::Node;

/// The smallest guest there is: firmware that finds nothing to boot. Enough to have a QEMU.
const GUEST: &str = r#"<domain type="qemu"><name>probe</name><memory unit="MiB">32</memory>
<os><type arch="x86_64" machine="q35">hvm</type></os>
<devices><serial type="file"><source path="/var/lib/kilonova/probe.log"/></serial></devices></domain>"#;

/// Starts a guest on a node and returns the pid of its QEMU in the node.
async fn start_guest(node: &Node) -> Result<String> {
    std::fs::write(node.path_of("/var/lib/kilonova/probe.xml"), GUEST)?;
    node.exec(["virsh", "create", "/var/lib/kilonova/probe.xml"])
        .await?;
    guest_pid(node).await
}

async fn guest_pid(node: &Node) -> Result<String> {
    node.exec(["cat", "/run/libvirt/qemu/probe.pid"]).await
}
