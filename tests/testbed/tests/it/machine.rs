//! A tiny guest by QEMU alone, without libvirt: a pty for its console, room to plug in cards, and a folder that goes with
//! it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::images::console::{self, Report};
use testbed::layout::CACHE;
use testbed::{GuestConsole, Progress, Seen, images, wait_for};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// Under emulation, on a busy machine.
const BOOT: Duration = Duration::from_mins(3);
const SOON: Duration = Duration::from_mins(1);

/// Ends when it is dropped.
pub struct Machine {
    pub console: GuestConsole,
    folder: tempfile::TempDir,
    _qemu: Child,
}

impl Machine {
    /// Starts one with these arguments besides its own, and waits until it is up.
    pub async fn boot(arguments: &[&str]) -> Result<Self> {
        let image = images::tiny(CACHE.as_ref(), &Progress::silent()).await?;
        let folder = tempfile::tempdir()?;
        let inside = |name: &str| folder.path().join(name);
        let log = inside("console.log");
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35", "-accel", "tcg", "-m", "128"])
            .args(["-display", "none", "-nodefaults", "-snapshot"])
            .arg("-drive")
            .arg(format!("file={},if=virtio", image.path.display()))
            .arg("-chardev")
            .arg(format!("pty,id=console,logfile={}", log.display()))
            .args(["-serial", "chardev:console"])
            .arg("-qmp")
            .arg(format!(
                "unix:{},server=on,wait=off",
                inside("qmp").display()
            ))
            // As libvirt gives them: each takes one card.
            .args(["-device", "pcie-root-port,id=port1,chassis=1"])
            .args(["-device", "pcie-root-port,id=port2,chassis=2"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(inside("qemu.log"))?)
            .kill_on_drop(true);
        let qemu = qemu.spawn().context("failed to start qemu-system-x86_64")?;
        let mut machine = Self {
            console: GuestConsole {
                pty: PathBuf::new(),
                log,
            },
            folder,
            _qemu: qemu,
        };
        machine.console.pty = machine.find_pty().await?;
        machine
            .wait("to be up", |report| report.up().is_some())
            .await?;
        Ok(machine)
    }

    /// A command that succeeds, and what it says.
    pub async fn run(&self, command: &str) -> Result<String> {
        let output = self.console.exec(command, SOON).await?;
        output.success().with_context(|| command.to_owned())
    }

    /// Waits until a command succeeds, and returns what it says.
    pub async fn wait_run(&self, command: &str) -> Result<String> {
        wait_for(command, SOON, async || {
            let output = self.console.exec(command, SOON).await?;
            Ok(if output.code == 0 {
                Seen::Wanted(output.stdout)
            } else {
                Seen::NotYet(format!("{output:?}"))
            })
        })
        .await
    }

    /// Waits until the console's report shows something.
    pub async fn wait(&self, what: &str, shows: impl Fn(&Report) -> bool) -> Result<Report> {
        wait_for(&format!("the guest {what}"), BOOT, async || {
            let log = std::fs::read(&self.console.log).unwrap_or_default();
            let report = console::parse(&String::from_utf8_lossy(&log));
            Ok(if shows(&report) {
                Seen::Wanted(report)
            } else {
                Seen::NotYet(format!("{report:?}"))
            })
        })
        .await
    }

    /// Plugs a card in.
    pub async fn plug(&self, card: &str, port: &str, mac: &str, netdev: Value) -> Result<()> {
        self.ask("netdev_add", netdev).await?;
        let device = json!({
            "driver": "virtio-net-pci", "id": card, "netdev": format!("net-{card}"), "bus": port, "mac": mac,
        });
        self.ask("device_add", device).await.map(drop)
    }

    /// Asks the guest to let go of a card; what its wire hangs on goes, too.
    pub async fn unplug(&self, card: &str) -> Result<()> {
        self.ask("device_del", json!({"id": card})).await.map(drop)
    }

    async fn find_pty(&self) -> Result<PathBuf> {
        let socket = self.folder.path().join("qmp");
        let chardevs = wait_for("QEMU to answer", SOON, async || {
            let error = std::fs::read_to_string(self.folder.path().join("qemu.log"))?;
            ensure!(error.is_empty() || socket.exists(), "QEMU: {error}");
            Ok(Seen::of(self.ask("query-chardev", json!({})).await))
        })
        .await?;
        let names = chardevs.as_array().context("no list")?.iter();
        let mut names = names.filter_map(|chardev| chardev["filename"].as_str());
        let pty = names.find_map(|name| name.strip_prefix("pty:"));
        Ok(pty.context("QEMU has no pty")?.into())
    }

    async fn ask(&self, verb: &str, arguments: Value) -> Result<Value> {
        let stream = UnixStream::connect(self.folder.path().join("qmp")).await?;
        let mut stream = BufReader::new(stream);
        let mut answer = Value::Null;
        for (verb, arguments) in [("qmp_capabilities", json!({})), (verb, arguments)] {
            let request = json!({"execute": verb, "arguments": arguments});
            stream.write_all(request.to_string().as_bytes()).await?;
            answer = loop {
                let mut line = String::new();
                ensure!(stream.read_line(&mut line).await? > 0, "QEMU hung up");
                let mut said: Value = serde_json::from_str(&line)?;
                if said.get("error").is_some() {
                    bail!("QEMU refused {request}: {said}");
                }
                if let Some(answer) = said.get_mut("return") {
                    break answer.take(); // what came before were greetings and events
                }
            };
        }
        Ok(answer)
    }
}
