//! Nodes: namespaces of this machine (network, mount, host name, processes, IPC, control groups) that look like hosts,
//! each with its own libvirtd and its own switch.
//!
//! ```text
//!   this machine ── bridge ── cable ══ eth0 ┐ node n1: tini (PID 1)
//!                                           ├ virtlogd, virtlockd, libvirtd ── guests
//!                                           ├ ovsdb-server, ovs-vswitchd, ovn-controller
//!                                           └ agent; or containerd, kubelet, kube-proxy ── pods
//! ```
//!
//! The switches have networks of their own: one to each other and one to the outside (see [`cables`]).
//!
//! A node's first process holds everything: when it dies, the kernel ends all that runs in the node, and removes its
//! mounts and its links. Nothing of a node is mounted in the machine's own namespace.

mod cables;
mod files;
mod group;
mod pods;
mod switch;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::layout::Layout;
use crate::part::{Part, Place, Spec, in_namespaces, run_in};
use crate::process::children;
use crate::record::write_file;
use crate::slot::Slot;

const INIT: &str = include_str!("init.sh");
/// What each node runs, in this order; libvirtd uses the others.
const DAEMONS: [&str; 3] = ["virtlogd", "virtlockd", "libvirtd"];
const BOOT_DEADLINE: Duration = Duration::from_secs(30);
/// A new libvirtd asks every QEMU for its capabilities first.
const LIBVIRT_DEADLINE: Duration = Duration::from_mins(2);
/// Files that say who the node is.
const IDENTITY: [&str; 4] = [
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/machine-id",
];
/// Folders that stay when a node is down, so that its logs and disks can be read then, too.
const LASTING: [&str; 7] = [
    "etc/libvirt",
    "var/log",
    "var/cache/libvirt",
    "var/lib/libvirt",
    "var/lib/swtpm-localca",
    "var/lib/kilonova",
    "var/lib/openvswitch",
];

/// The name of the node of this number, counted from 1.
pub fn node_name(number: u8) -> String {
    format!("n{number}")
}

/// A handle on a node, which need not run.
#[derive(Clone, Debug)]
pub struct Node {
    layout: Layout,
    slot: Slot,
    number: u8,
    name: String,
}

impl Node {
    /// The handle on a node of a testbed.
    pub fn new(layout: &Layout, slot: Slot, number: u8) -> Self {
        Self {
            layout: layout.clone(),
            slot,
            number,
            name: node_name(number),
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its name, which is also its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the testbed's bridge.
    pub fn address(&self) -> std::net::Ipv4Addr {
        self.slot.node_address(self.number)
    }

    /// One of its parts, such as `agent` or `libvirtd`.
    pub fn part(&self, name: &str) -> Part {
        Part::new(&self.layout, &format!("{}/{name}", self.name))
    }

    /// Runs a command in the node and returns its standard output; any other end than success is an error.
    pub async fn exec<S: Into<String>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        run_in(self.init()?, &words)
            .await
            .with_context(|| format!("on node {}", self.name))
    }

    /// A command in the node, for callers that want its exit code, or to talk to it.
    pub fn command<S: Into<String>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<tokio::process::Command> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        Ok(in_namespaces(self.init()?, &words))
    }

    /// Where this machine finds a file that the node calls `inner`. What lies in folders that a node keeps over a
    /// boot can be read while the node is down.
    pub fn path_of(&self, inner: impl AsRef<Path>) -> PathBuf {
        let inner = inner.as_ref();
        let relative = inner.strip_prefix("/").unwrap_or(inner);
        let mut lasting = LASTING.iter().chain(&pods::LASTING);
        if lasting.any(|folder| relative.starts_with(folder)) {
            return self.root().join(relative);
        }
        let init = self.init().unwrap_or_default();
        Path::new("/proc")
            .join(init.to_string())
            .join("root")
            .join(relative)
    }

    /// The node's first process, as this machine counts.
    pub fn init(&self) -> Result<i32> {
        let unshare = self.part("init").process();
        unshare
            .and_then(|process| children(process.pid).first().copied())
            .with_context(|| {
                let restart = self.layout.devstack(&format!("restart {}", self.name));
                format!("node {} does not run; `{restart}` boots it", self.name)
            })
    }

    /// Where parts of this node run.
    pub(crate) fn place(&self) -> Result<Place> {
        Ok(Place::Node {
            init: self.init()?,
            groups: group::homes(&self.layout, &self.name),
        })
    }

    /// Boots the node, plugs it in and starts its daemons; what runs already is left alone. `nodes` is the number of
    /// nodes in the testbed: they know each other by name. `southbound` is where its switch finds OVN, if that is the
    /// testbed's to say.
    pub async fn ensure(&self, nodes: u8, southbound: Option<&str>) -> Result<()> {
        files::write(&self.root(), &self.name, self.number, nodes, self.slot)?;
        self.boot()
            .await
            .with_context(|| format!("failed to boot node {}", self.name))?;
        self.plug_in()
            .await
            .with_context(|| format!("failed to plug in node {}", self.name))?;
        tokio::try_join!(self.ensure_libvirt(), self.ensure_switch(southbound)).map(drop)
    }

    async fn ensure_libvirt(&self) -> Result<()> {
        for daemon in DAEMONS {
            let part = self.part(daemon);
            let spec = Spec::host(part.name(), [format!("/usr/sbin/{daemon}")])
                .configured_by(&files::configuration(&self.root(), daemon)?)
                .at(self.place()?);
            part.ensure(spec).await?;
        }
        let answers = async || {
            self.exec(["virsh", "--connect", "qemu:///system", "uri"])
                .await
                .map(drop)
        };
        self.part("libvirtd")
            .wait_ready(LIBVIRT_DEADLINE, answers)
            .await
    }

    /// Takes the node's power away: every process of it, guests included, is gone at once.
    pub async fn power_off(&self) -> Result<()> {
        self.part("init").kill9().await?;
        self.unplug().await?;
        group::remove(&self.layout, &self.name).await
    }

    fn root(&self) -> PathBuf {
        self.layout.node_root(&self.name)
    }

    async fn boot(&self) -> Result<()> {
        let script = self.root().with_file_name("init.sh");
        write_file(&script, INIT.as_bytes())?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let flags = [
            "--net", "--mount", "--uts", "--pid", "--ipc", "--cgroup", "--fork",
        ];
        let mut words = vec!["unshare".to_owned()];
        words.extend(flags.map(str::to_owned));
        // Should `unshare` die, the node dies with it: it is the process this testbed knows.
        words.push("--kill-child".to_owned());
        words.extend(
            [script, self.name.clone().into(), self.root()].map(|word| word.display().to_string()),
        );
        let own = IDENTITY.iter().chain(&pods::LASTING).chain(&LASTING);
        words.extend(own.map(|path| (*path).to_owned()));
        let init = self.part("init");
        if init.process().is_none() {
            // What is left of one that was killed: control groups that are divided already let nobody in.
            self.power_off().await?;
        }
        group::ensure(&self.layout, &self.name)?;
        let place = Place::Groups(group::roots(&self.layout, &self.name));
        init.ensure(Spec::host(init.name(), words).at(place))
            .await?;
        init.wait_ready(BOOT_DEADLINE, async || {
            let booted = self.path_of("/run/devstack/booted");
            std::fs::metadata(&booted)
                .map(drop)
                .context("its first process is not done with its mounts")
        })
        .await?;
        group::settle(&self.layout, &self.name).await
    }
}
