//! A node's switch: Open vSwitch with its database, and the ovn-controller that makes it do as OVN says.
//!
//! ```text
//!   guests ── br-int ══ tunnels ── br-phy ── eth1 ── underlay
//!                └── patch ── br-ex ── eth2 ── outside
//! ```
//!
//! It works in userspace: tests run where the kernel has none. What is configured here is what administrators configure
//! on their hosts; which guests hang on it is libvirt's business.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{command, run};
use crate::ovn::with_allocator;
use crate::part::Spec;
use crate::slot::Slot;

use super::Node;

const SETUP: &str = include_str!("switch.sh");
const VSWITCHD: &str = include_str!("vswitchd.sh");
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// It outlives a boot, as on a host.
const DATABASE: &str = "/var/lib/openvswitch/conf.db";
const QUIET: [&str; 2] = ["-vsyslog:off", "-vconsole:info"];
const READY_DEADLINE: Duration = Duration::from_mins(1);

impl Node {
    /// The address of its switch on the underlay, which tunnels end at.
    pub fn underlay_address(&self) -> std::net::Ipv4Addr {
        self.slot.underlay_address(self.number)
    }

    pub(super) async fn ensure_switch(&self, southbound: Option<&str>) -> Result<()> {
        let context = || format!("failed to make the switch of node {} run", self.name);
        self.ensure_database().await.with_context(context)?;
        self.set_up_switch(southbound).await.with_context(context)?;
        self.ensure_vswitchd().await.with_context(context)?;
        self.ensure_ovn_controller().await.with_context(context)
    }

    async fn ensure_database(&self) -> Result<()> {
        let file = self.path_of(DATABASE);
        if !file.exists() {
            let file = file.display().to_string();
            run(&mut command(["ovsdb-tool", "create", &file, SCHEMA])).await?;
        }
        let words = [
            "/usr/sbin/ovsdb-server",
            "--pidfile",
            "--remote=punix:/run/openvswitch/db.sock",
        ];
        let words = words.iter().chain(&QUIET).chain(&[DATABASE]).copied();
        let part = self.part("ovsdb-server");
        let spec = Spec::host(part.name(), words).at(self.place()?);
        part.ensure(with_allocator(spec)).await?;
        part.wait_ready(READY_DEADLINE, async || {
            let get = ["ovs-vsctl", "--no-wait", "--timeout=5", "show"];
            self.exec(get).await.map(drop)
        })
        .await
    }

    async fn set_up_switch(&self, southbound: Option<&str>) -> Result<()> {
        let address = self.underlay_address().to_string();
        let hardware = self.slot.underlay_hardware_address(self.number);
        // `sh` calls itself what follows the script.
        let script = ["sh", "-c", SETUP, "switch.sh"];
        let southbound = southbound.unwrap_or_default();
        let arguments = [self.name.as_str(), southbound, &address, &hardware];
        self.exec(script.into_iter().chain(arguments))
            .await
            .map(drop)
    }

    async fn ensure_vswitchd(&self) -> Result<()> {
        let address = format!("{}/{}", self.underlay_address(), Slot::PREFIX_LENGTH);
        let part = self.part("ovs-vswitchd");
        let words = ["sh", "-c", VSWITCHD, "vswitchd.sh", &address];
        let spec = Spec::host(part.name(), words).at(self.place()?);
        part.ensure(with_allocator(spec)).await?;
        part.wait_ready(READY_DEADLINE, async || {
            // Returns when all bridges are as the database says.
            self.exec(["ovs-vsctl", "--timeout=10", "init"]).await?;
            let route = format!("{}/32", self.underlay_address());
            let shown = self.exec(["ovs-appctl", "ovs/route/show"]).await?;
            let known = shown.contains(&route);
            anyhow::ensure!(known, "it has no tunnels' address: {shown}");
            Ok(())
        })
        .await
    }

    async fn ensure_ovn_controller(&self) -> Result<()> {
        let part = self.part("ovn-controller");
        let words = ["/usr/bin/ovn-controller", "--pidfile"];
        let words = words.iter().chain(&QUIET).copied();
        let spec = Spec::host(part.name(), words).at(self.place()?);
        part.ensure(with_allocator(spec)).await?;
        part.wait_ready(READY_DEADLINE, async || {
            let version = ["ovn-appctl", "--target=ovn-controller", "version"];
            self.exec(version).await.map(drop)
        })
        .await
    }
}
