//! The outside: a network namespace that plays what lies beyond the cloud, for tests of what comes in and goes out.
//!
//! ```text
//!   outside: eth0 (192.0.2.1/24, 2001:db8:ffff::1/64) ══ bridge ┬ cable ══ eth2 ─ br-ex │ node n1
//!                                                               └ cable ══ eth2 ─ br-ex │ node n2
//! ```
//!
//! Nodes and this machine have no address there: only the nodes' switches reach it, as the physical network [`NETWORK`].
//! It is as far away as traffic gets. All testbeds have the same addresses, each in a namespace of its own. What runs in
//! it ends with it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::layout::Layout;
use crate::network;
use crate::part::{Part, Spec, in_namespaces, run_in};
use crate::process::children;
use crate::slot::Slot;

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

/// The namespace's end of its cable.
const LINK: &str = "eth0";
/// Its part, and what people call it.
pub const NAME: &str = "outside";
/// Should `unshare` die, all of it dies: it is the process this testbed knows.
const UNSHARE: &str = "unshare --net --mount --pid --ipc --fork --kill-child";
const INIT: &str = "mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t tmpfs run /run && \
                    : >/run/outside && exec tini -- sleep infinity";
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// The handle on a testbed's outside.
#[derive(Clone, Debug)]
pub struct Outside {
    layout: Layout,
    slot: Slot,
}

impl Outside {
    pub(crate) fn new(layout: &Layout, slot: Slot) -> Self {
        let layout = layout.clone();
        Self { layout, slot }
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

    /// Makes it, and connects it to its bridge.
    pub(crate) async fn ensure(&self) -> Result<()> {
        let words = UNSHARE.split(' ').chain(["sh", "-c", INIT]);
        let part = self.part();
        part.ensure(Spec::host(NAME, words)).await?;
        part.wait_ready(READY_DEADLINE, async || {
            let made = format!("/proc/{}/root/run/outside", self.init()?);
            std::fs::metadata(made)
                .map(drop)
                .context("its first process is not done with its mounts")
        })
        .await?;
        self.plug_in()
            .await
            .context("failed to plug in the outside")
    }

    async fn plug_in(&self) -> Result<()> {
        let cable = self.slot.outside_cable();
        let init = self.init()?;
        let hardware = self.slot.outside_hardware_address();
        network::ensure_cable(&cable, init, LINK, Some(&hardware)).await?;
        network::attach(&cable, &self.slot.outside_bridge()).await?;
        // Nobody else can have the address, so there is nothing to wait for.
        let give = format!("ip address replace {ADDRESS}/{PREFIX_LENGTH} dev {LINK}");
        let give_v6 =
            format!("ip address replace {ADDRESS_V6}/{PREFIX_LENGTH_V6} dev {LINK} nodad");
        for line in [
            "ip link set lo up",
            &format!("ethtool -K {LINK} tx off"),
            &give,
            &give_v6,
            &format!("ip link set {LINK} up"),
        ] {
            self.exec(line.split(' ')).await?;
        }
        Ok(())
    }

    /// Makes it anew: whatever ran in it is gone.
    pub async fn restart(&self) -> Result<()> {
        self.part().kill9().await?;
        self.ensure().await
    }

    fn part(&self) -> Part {
        Part::new(&self.layout, NAME)
    }
}
