//! A guest as it is on its node: its folder, its console's report, its QEMU.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kilonova::api::server::Server;
use kube::ResourceExt;
use testbed::guest_console::{GuestConsole, Output, Running};
use testbed::images::console::{self, Report};
use testbed::{Node, Seen, Testbed, wait_for};

use super::{BOOT, SOON};

/// A guest and the node that has it.
#[derive(Clone, Debug)]
pub struct GuestOnNode {
    /// The server's UID.
    pub uid: String,
    /// Where it is.
    pub node: Node,
}

impl GuestOnNode {
    /// The guest of a server that has a node.
    pub fn of(testbed: &Testbed, server: &Server) -> Result<Self> {
        let status = server.status.as_ref().context("the server has no status")?;
        let node = status.node.as_ref().context("the server has no node")?;
        Ok(Self {
            uid: server.uid().context("the server has no UID")?,
            node: testbed.node(node)?,
        })
    }

    /// The libvirt domain's name.
    pub fn domain(&self) -> String {
        format!("kilonova-{}", self.uid)
    }

    /// Its folder, as this machine names it.
    pub fn folder(&self) -> PathBuf {
        let folder = format!("/var/lib/kilonova/guests/{}", self.uid);
        self.node.path_of(folder)
    }

    /// Everything it ever printed on its serial console.
    pub fn console(&self) -> String {
        let bytes = std::fs::read(self.folder().join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What the tiny guest said there.
    pub fn report(&self) -> Report {
        console::parse(&self.console())
    }

    /// Waits until its report shows something.
    pub async fn wait_report(
        &self,
        what: &str,
        deadline: Duration,
        shows: impl Fn(&Report) -> bool,
    ) -> Result<Report> {
        wait_for(what, deadline, async || {
            let report = self.report();
            Ok(if shows(&report) {
                Seen::Wanted(report)
            } else {
                Seen::NotYet(format!("{report:?}; its console ends {:?}", self.tail()))
            })
        })
        .await
    }

    /// Waits until it has come up for the `times`th time, and returns what it said.
    pub async fn wait_up(&self, times: usize) -> Result<Report> {
        let what = format!("guest {} to be up for the {times}. time", self.uid);
        self.wait_report(&what, BOOT, |report| report.ups.len() >= times)
            .await
    }

    /// Waits until it shows that its clock goes on: another tick than those so far.
    pub async fn wait_tick(&self) -> Result<Report> {
        let before = self.report().ticks_s.len();
        self.wait_report("another tick", SOON, |report| report.ticks_s.len() > before)
            .await
    }

    fn tail(&self) -> String {
        let console = self.console();
        let skipped = console.chars().count().saturating_sub(200);
        console.chars().skip(skipped).collect()
    }

    /// The pid of its QEMU in the node, if libvirt knows of one that runs.
    pub fn qemu(&self) -> Option<u32> {
        let file = format!("/run/libvirt/qemu/{}.pid", self.domain());
        let text = std::fs::read_to_string(self.node.path_of(file)).ok()?;
        let pid = text.trim().parse().ok()?;
        self.is_its_qemu(pid).then_some(pid)
    }

    /// Whether any QEMU of it runs, known to libvirt or not.
    pub fn any_qemu(&self) -> Result<bool> {
        let processes = std::fs::read_dir(self.node.path_of("/proc"))?;
        let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(pids.any(|pid| self.is_its_qemu(pid)))
    }

    fn is_its_qemu(&self, pid: u32) -> bool {
        let command = std::fs::read(self.node.path_of(format!("/proc/{pid}/cmdline")));
        let command = command.unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        command.contains("qemu-system") && command.contains(&self.uid)
    }

    /// Kills its QEMU, as the kernel does when memory runs out; the pid that it had.
    pub async fn kill_qemu(&self) -> Result<u32> {
        let Some(pid) = self.qemu() else {
            bail!("guest {} has no QEMU", self.uid);
        };
        self.node.exec(["kill", "-9", &pid.to_string()]).await?;
        Ok(pid)
    }

    /// Waits until it has another QEMU than this one.
    pub async fn wait_new_qemu(&self, before: u32, deadline: Duration) -> Result<u32> {
        let what = format!("guest {} to have a new QEMU", self.uid);
        wait_for(&what, deadline, async || {
            Ok(match self.qemu() {
                Some(pid) if pid != before => Seen::Wanted(pid),
                other => Seen::NotYet(format!("{other:?}")),
            })
        })
        .await
    }

    /// Its serial console, for commands in it. It must be up: firmware reads the console, too.
    async fn serial(&self) -> Result<GuestConsole> {
        let pty = self.virsh("ttyconsole").await?;
        let pty = pty.trim();
        ensure!(pty.starts_with("/dev/pts/"), "{} is off", self.domain());
        Ok(GuestConsole {
            pty: self.node.path_of(pty),
            log: self.folder().join("console.log"),
        })
    }

    /// Runs a command in the tiny guest's shell to its end, whatever that is; one that is not done by the deadline is
    /// ended, and an error. Several may run at once. See [`GuestConsole`].
    pub async fn exec(&self, command: &str, deadline: Duration) -> Result<Output> {
        self.serial().await?.exec(command, deadline).await
    }

    /// Starts a command in the tiny guest that goes on: a server, a capture.
    pub async fn spawn(&self, command: &str, deadline: Duration) -> Result<Running> {
        self.serial().await?.spawn(command, deadline).await
    }

    /// Asks libvirt about it: `virsh VERB DOMAIN`.
    pub async fn virsh(&self, verb: &str) -> Result<String> {
        self.node.exec(["virsh", verb, &self.uid]).await
    }

    /// Whether libvirt has a domain of it, running or not.
    pub async fn has_domain(&self) -> Result<bool> {
        let all = self.node.exec(["virsh", "list", "--all", "--uuid"]).await?;
        Ok(all.lines().any(|uuid| uuid.trim() == self.uid))
    }
}
