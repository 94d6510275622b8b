//! The outside: a network namespace that plays what lies beyond the cloud, for tests of what comes in and goes out.
//!
//! ```text
//!   outside: bridge (192.0.2.1/24, 2001:db8:ffff::1/64) ┬ cable ══ eth2 ─ br-ex │ node n1
//!                                                       └ cable ══ eth2 ─ br-ex │ node n2
//! ```
//!
//! Nodes have no address there: only their switches reach it, as the physical network [`NETWORK`]. It is as far away as
//! traffic gets; nothing leads from it to this machine. All testbeds have the same addresses, each in a namespace of its
//! own. What runs in it ends with it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::layout::Layout;
use crate::part::{Part, Spec, in_namespaces, run_in};
use crate::process::children;
use crate::record::write_file;

/// What the nodes' switches call it (`ovn-bridge-mappings`), and the `network_name` of `localnet` ports.
pub const NETWORK: &str = "public";
/// Its address in the namespace: a router that knows its own link only.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same, of IPv6.
pub const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
/// How many bits of [`ADDRESS`] are common to the network.
pub const PREFIX_LENGTH: u8 = 24;
/// How many bits of [`ADDRESS_V6`] are common to the network.
pub const PREFIX_LENGTH_V6: u8 = 64;

/// The bridge in the namespace, which has its addresses.
const BRIDGE: &str = "outside";
const PART: &str = "outside";
const INIT: &str = include_str!("outside.sh");
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// The handle on a testbed's outside.
#[derive(Clone, Debug)]
pub struct Outside {
    layout: Layout,
}

impl Outside {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
        }
    }

    /// Runs a command there and returns its standard output; any other end than success is an error.
    pub async fn exec<S: Into<String>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        run_in(self.init()?, &words).await.context("outside")
    }

    /// A command there, for callers that want its exit code, or to talk to it.
    pub fn command<S: Into<String>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<tokio::process::Command> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        Ok(in_namespaces(self.init()?, &words))
    }

    /// Its first process, as this machine counts.
    pub fn init(&self) -> Result<i32> {
        let unshare = self.part().process();
        unshare
            .and_then(|process| children(process.pid).first().copied())
            .with_context(|| {
                let up = self.layout.devstack("up");
                format!("there is no outside; `{up}` makes it")
            })
    }

    /// Makes it. Nodes are plugged in when they boot.
    pub(crate) async fn ensure(&self) -> Result<()> {
        let script = self.layout.root().join("outside.sh");
        write_file(&script, INIT.as_bytes())?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let addresses = [
            format!("{ADDRESS}/{PREFIX_LENGTH}"),
            format!("{ADDRESS_V6}/{PREFIX_LENGTH_V6}"),
        ];
        // Should `unshare` die, all of it dies: it is the process this testbed knows.
        let flags = "unshare --net --mount --pid --ipc --fork --kill-child";
        let words = flags.split(' ').map(str::to_owned);
        let words = words.chain([script.display().to_string(), BRIDGE.to_owned()]);
        let part = self.part();
        part.ensure(Spec::host(PART, words.chain(addresses)).configured_by(INIT.as_bytes()))
            .await?;
        part.wait_ready(READY_DEADLINE, async || {
            let up = ["ip", "link", "show", BRIDGE, "up"];
            let shown = self.exec(up).await?;
            anyhow::ensure!(!shown.trim().is_empty(), "its bridge is not up");
            Ok(())
        })
        .await
    }

    pub(crate) async fn has_link(&self, name: &str) -> bool {
        self.exec(["ip", "link", "show", name]).await.is_ok()
    }

    /// Removes this end of a cable, if it is there.
    pub(crate) async fn remove_link(&self, name: &str) -> Result<()> {
        if self.init().is_err() || !self.has_link(name).await {
            return Ok(());
        }
        let removed = self.exec(["ip", "link", "delete", name]).await;
        // The other end may have gone with its namespace in the meantime.
        if self.has_link(name).await {
            removed?;
        }
        Ok(())
    }

    /// Connects this end of a cable to the network.
    pub(crate) async fn attach(&self, name: &str) -> Result<()> {
        self.exec(["ethtool", "-K", name, "tx", "off"]).await?;
        let attach = ["ip", "link", "set", name, "master", BRIDGE, "up"];
        self.exec(attach).await.map(drop)
    }

    fn part(&self) -> Part {
        Part::new(&self.layout, PART)
    }
}
