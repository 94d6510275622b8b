//! OVN's central parts of a test: both databases and ovn-northd, in a temporary folder, which end with it. What a node would
//! do with a packet is asked of ovn-trace, or of one node's switch, whose devices are in its own memory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kilonova::ovsdb::Endpoint;
use tempfile::TempDir;
use tokio::time;

/// How long anything may take: generous, since machines of tests are slow and busy.
pub const SOON: Duration = Duration::from_mins(1);

/// The databases, and northd if it was asked for.
pub struct Central {
    folder: TempDir,
    processes: Vec<Child>,
}

impl Central {
    /// Only the northbound database.
    pub async fn northbound() -> Result<Self> {
        let mut central = Self {
            folder: tempfile::tempdir()?,
            processes: Vec::new(),
        };
        central.database("nb", "init").await?;
        Ok(central)
    }

    /// Everything, with nodes of these names.
    pub async fn with_northd(nodes: &[&str]) -> Result<Self> {
        let mut central = Self::northbound().await?;
        central.database("sb", "init").await?;
        for (number, node) in nodes.iter().enumerate() {
            let address = format!("198.18.0.{}", number + 1);
            central.tool("ovn-sbctl", &["chassis-add", node, "geneve", &address])?;
        }
        let mut command = central.command("ovn-northd");
        command
            .arg(format!("--ovnnb-db={}", central.url("nb")))
            .arg(format!("--ovnsb-db={}", central.url("sb")))
            .arg(format!(
                "--unixctl={}",
                central.path("northd.ctl").display()
            ))
            .arg(format!(
                "--log-file={}",
                central.path("northd.log").display()
            ));
        central.start(command)?;
        Ok(central)
    }

    /// A node with these ports: what OVN's controller makes of the southbound database, in a switch.
    pub async fn node(&mut self, name: &str, ports: &[&str]) -> Result<()> {
        self.serve("db", "/usr/share/openvswitch/vswitch.ovsschema")
            .await?;
        let ids = [
            format!("system-id={name}"),
            format!("ovn-remote={}", self.url("sb")),
            "ovn-encap-type=geneve".to_owned(),
            "ovn-encap-ip=127.0.0.1".to_owned(),
        ];
        let ids = ids.map(|id| format!("external_ids:{id}"));
        let set = "--no-wait init -- set open_vswitch .".split(' ');
        let words: Vec<&str> = set.chain(ids.iter().map(String::as_str)).collect();
        self.vsctl(&words)?;
        let database = self.url("db");
        let mut switch = self.command("/usr/sbin/ovs-vswitchd");
        switch
            .args(["--no-chdir", "--enable-dummy", "--disable-system"])
            .arg(format!("--unixctl={}", self.path("switch.ctl").display()))
            .arg(&database);
        self.start(switch)?;
        let bridge = "add-br br-int -- set bridge br-int datapath_type=dummy fail-mode=secure";
        self.vsctl(&bridge.split(' ').collect::<Vec<_>>())?;
        for port in ports {
            let add = format!(
                "add-port br-int {port} -- set interface {port} type=dummy external_ids:iface-id={port}"
            );
            self.vsctl(&add.split(' ').collect::<Vec<_>>())?;
        }
        let mut controller = self.command("ovn-controller");
        controller.arg(database);
        self.start(controller)?;
        for port in ports {
            let up = [
                "--timeout=60",
                "wait-until",
                "logical_switch_port",
                port,
                "up=true",
            ];
            self.nbctl(&up)?;
        }
        self.nbctl(&["--timeout=60", "--wait=hv", "sync"]).map(drop)
    }

    fn vsctl(&self, words: &[&str]) -> Result<String> {
        let database = format!("--db={}", self.url("db"));
        self.tool("ovs-vsctl", &[&["--timeout=60", &database], words].concat())
    }

    /// What the node's switch does with a frame first: `drop`, or something else.
    pub fn first_action(&self, frame: &str) -> Result<String> {
        let control = self.path("switch.ctl").display().to_string();
        let words = ["--target", &control, "ofproto/trace", "br-int", frame];
        let trace = self.tool("ovs-appctl", &words)?;
        let mut lines = trace.lines();
        let action = lines.find_map(|line| line.strip_prefix("Datapath actions: "));
        action.map(str::to_owned).with_context(|| trace.clone())
    }

    async fn database(&mut self, name: &str, init: &str) -> Result<()> {
        self.serve(name, &format!("/usr/share/ovn/ovn-{name}.ovsschema"))
            .await?;
        self.tool(&format!("ovn-{name}ctl"), &[init])?;
        Ok(())
    }

    async fn serve(&mut self, name: &str, schema: &str) -> Result<()> {
        let file = self.path(&format!("{name}.db"));
        let created = Command::new("ovsdb-tool")
            .args([Path::new("create"), &file, Path::new(schema)])
            .status()
            .context("failed to run ovsdb-tool: `devstack prepare` installs it")?;
        ensure!(created.success(), "ovsdb-tool create: {created}");
        let socket = self.path(&format!("{name}.sock"));
        let mut command = self.command("ovsdb-server");
        command
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!(
                "--unixctl={}",
                self.path(&format!("{name}.ctl")).display()
            ))
            .arg(format!(
                "--log-file={}",
                self.path(&format!("{name}.log")).display()
            ))
            .arg(file);
        self.start(command)?;
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            ensure!(begun.elapsed() < SOON, "{name} does not listen");
            time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-vconsole:off")
            .env("OVS_RUNDIR", self.folder.path())
            .env("OVN_RUNDIR", self.folder.path())
            .env("OVN_NB_DB", self.url("nb"))
            .env("OVN_SB_DB", self.url("sb"));
        command
    }

    fn start(&mut self, mut command: Command) -> Result<()> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let missing = "failed to start OVN's central parts: `devstack prepare` installs them";
        self.processes.push(command.spawn().context(missing)?);
        Ok(())
    }

    /// What a program of OVN's says.
    pub fn tool(&self, program: &str, words: &[&str]) -> Result<String> {
        let output = self.command(program).args(words).output()?;
        ensure!(
            output.status.success(),
            "{program} {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What ovn-nbctl says.
    pub fn nbctl(&self, words: &[&str]) -> Result<String> {
        self.tool("ovn-nbctl", words)
    }

    /// Waits until northd has done what the northbound database asks for now.
    pub fn synchronise(&self) -> Result<()> {
        self.nbctl(&["--timeout=60", "--wait=sb", "sync"]).map(drop)
    }

    /// What becomes of a packet: the last actions only.
    pub fn trace(&self, switch: &str, packet: &str) -> Result<String> {
        self.trace_with(&[], switch, packet)
    }

    /// The same with more arguments.
    pub fn trace_with(&self, arguments: &[&str], switch: &str, packet: &str) -> Result<String> {
        let words: Vec<&str> = ["--minimal"]
            .iter()
            .chain(arguments)
            .chain(&[switch, packet])
            .copied()
            .collect();
        self.tool("ovn-trace", &words)
    }

    /// What a part has written into its log.
    pub fn log(&self, part: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.path(&format!("{part}.log")))?)
    }

    /// Where the northbound database listens.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.path("nb.sock"))
    }

    fn url(&self, name: &str) -> String {
        format!("unix:{}", self.path(&format!("{name}.sock")).display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // A test that fails has said why already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
