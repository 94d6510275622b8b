//! ovsdb-servers of a test: processes in a temporary folder, which end with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kilonova::ovsdb::{Endpoint, Member};
use tempfile::TempDir;
use tokio::time;

/// From Debian's package ovn-central.
pub const SCHEMA: &str = "/usr/share/ovn/ovn-nb.ovsschema";

/// One server. It is killed when this is dropped.
pub struct Server {
    folder: PathBuf,
    name: String,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// A server with a database of its own.
    pub async fn standalone(folder: &TempDir) -> Result<Self> {
        Self::standalone_with(folder, &[]).await
    }

    /// The same with more arguments.
    pub async fn standalone_with(folder: &TempDir, arguments: &[String]) -> Result<Self> {
        let database = folder.path().join("alone.db");
        tool(&["create".as_ref(), &database, SCHEMA.as_ref()])?;
        Self::start(folder, "alone", arguments).await
    }

    /// A raft cluster of so many, all of which have joined.
    pub async fn cluster(folder: &TempDir, count: usize) -> Result<Vec<Self>> {
        let address = |at: usize| {
            format!(
                "unix:{}",
                folder.path().join(format!("m{at}.raft")).display()
            )
        };
        let mut members = Vec::new();
        for at in 0..count {
            let name = format!("m{at}");
            let database = folder.path().join(format!("{name}.db"));
            let (own, first) = (address(at), address(0));
            if at == 0 {
                tool(&[
                    "create-cluster".as_ref(),
                    &database,
                    SCHEMA.as_ref(),
                    own.as_ref(),
                ])?;
            } else {
                let words = ["join-cluster", "OVN_Northbound", &own, &first].map(Path::new);
                tool(&[words[0], &database, words[1], words[2], words[3]])?;
            }
            let member = Self::start(folder, &name, &[]).await?;
            // One that listens may not have joined yet, and those that have joined are no majority without it.
            let mut settings = super::settings(vec![member.endpoint()]);
            settings.member = Member::Any;
            super::ready(settings).await?;
            members.push(member);
        }
        Ok(members)
    }

    async fn start(folder: &TempDir, name: &str, arguments: &[String]) -> Result<Self> {
        let mut server = Self {
            folder: folder.path().to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_vec(),
            process: None,
        };
        server.run().await?;
        Ok(server)
    }

    /// Starts it, unless it runs, and waits until it listens.
    pub async fn run(&mut self) -> Result<()> {
        let mut command = Command::new("ovsdb-server");
        let socket = self.socket();
        command
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", self.path("ctl").display()))
            .arg(format!("--log-file={}", self.path("log").display()))
            .arg("-vconsole:off")
            .args(&self.arguments)
            .arg(self.path("db"))
            .env("OVS_RUNDIR", &self.folder)
            .stdin(Stdio::null())
            // The first line of its log, which it also says aloud.
            .stderr(Stdio::null());
        let missing = "failed to start ovsdb-server: `devstack prepare` installs it";
        self.process = Some(command.spawn().context(missing)?);
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            ensure!(
                begun.elapsed() < super::SOON,
                "{} does not listen: {}",
                self.name,
                log()
            );
            time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends it without letting it say good-bye.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Lets it hang, or go on: it keeps its connections, and does nothing.
    pub fn hang(&self, hangs: bool) -> Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        let signal = if hangs { "-STOP" } else { "-CONT" };
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status()?;
        ensure!(status.success(), "kill {signal}: {status}");
        Ok(())
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.socket())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.path("sock")
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that fails has said why already.
        let _ = self.kill();
    }
}

/// A port of the loopback interface that nobody listens on.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

fn tool(words: &[&Path]) -> Result<()> {
    let output = Command::new("ovsdb-tool").args(words).output();
    let output = output.context("failed to run ovsdb-tool: `devstack prepare` installs it")?;
    ensure!(
        output.status.success(),
        "ovsdb-tool {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
