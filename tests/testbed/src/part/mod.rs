//! Parts: the programs a testbed keeps running (etcd, an API server, a node's libvirtd, an agent …).
//!
//! ```text
//!   Spec ──start()──► running ──stop() / kill9()──► stopped ──start()──► running, with the same arguments
//! ```
//!
//! A part is a session of its own, so it outlives whoever started it; its file `parts/<name>.json` holds what it
//! needs to be started again and which process it is now. Its output goes to `logs/<name>.log`. A part is only ever
//! signalled by [`ProcessId`].

mod spec;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

pub(crate) use spec::{Place, Spec, in_namespaces, run_in};

use self::spec::launcher_words;
use crate::command::{command, tail};
use crate::layout::Layout;
use crate::lock::lock;
use crate::process::{ProcessId, find_in_namespace};
use crate::record::{read_json, write_json};
use crate::wait::{Seen, wait_for};

/// How long a part may take to end after SIGTERM before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// How long the kernel may take to end a killed process, or to start one.
const KERNEL_DEADLINE: Duration = Duration::from_mins(1);
/// How much of a dead part's log an error quotes.
const QUOTED_LINES: usize = 15;
/// Where a node's parts leave their pids, inside the node; its `/run` is empty after each boot.
const NODE_PIDS: &str = "/run/devstack";

/// What a part's file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    spec: Spec,
    process: Option<ProcessId>,
}

/// A handle on a part that was started at least once.
#[derive(Clone, Debug)]
pub struct Part {
    name: String,
    file: PathBuf,
    log: PathBuf,
}

impl Part {
    /// The handle on a part, which need not exist.
    pub fn new(layout: &Layout, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            file: layout
                .parts()
                .join(format!("{}.json", name.replace('/', "."))),
            log: layout.logs().join(format!("{name}.log")),
        }
    }

    /// All parts of a testbed, by name.
    pub fn all(layout: &Layout) -> Result<Vec<Self>> {
        let entries = match std::fs::read_dir(layout.parts()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("failed to list the testbed's parts"),
        };
        let mut parts = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
                && let Some(state) = read_json::<State>(&path)?
            {
                parts.push(Self::new(layout, &state.spec.name));
            }
        }
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(parts)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds all it ever printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process, when it runs.
    pub fn process(&self) -> Option<ProcessId> {
        let state = read_json::<State>(&self.file).ok().flatten()?;
        let recorded = state.process.filter(ProcessId::is_alive);
        recorded.or_else(|| self.unrecorded(&state.spec.place))
    }

    /// Its process, when whoever launched it was killed before it was recorded. What runs in a node ends with the node
    /// and needs no such search.
    fn unrecorded(&self, place: &Place) -> Option<ProcessId> {
        if matches!(place, Place::Node { .. }) {
            return None;
        }
        let text = std::fs::read_to_string(self.pid_file(place)).ok()?;
        let process = ProcessId::of(text.trim().parse().ok()?).ok()?;
        // The pid may belong to anybody by now; only the part itself writes to its log.
        let output = std::fs::read_link(format!("/proc/{}/fd/1", process.pid)).ok()?;
        (output == self.log.canonicalize().ok()? && process.is_alive()).then_some(process)
    }

    /// Makes the part run as `spec` says. Returns whether anything had to be done.
    pub async fn ensure(&self, spec: Spec) -> Result<bool> {
        let state = read_json::<State>(&self.file)?;
        if self.process().is_some() {
            if state.is_some_and(|state| state.spec == spec) {
                return Ok(false);
            }
            self.stop().await?;
        }
        self.write(&State {
            spec,
            process: None,
        })?;
        self.start().await?;
        Ok(true)
    }

    /// Starts the part as it was started last; nothing when it runs.
    pub async fn start(&self) -> Result<()> {
        if self.process().is_some() {
            return Ok(());
        }
        let launching = lock(&self.launch_lock()).await?;
        let part = self.clone();
        // A task of its own: once launched, the part is recorded even if nobody waits for it any more, and whoever
        // wants to end it waits for the lock.
        let launched = tokio::spawn(async move {
            let _launching = launching;
            part.launch_and_record().await
        });
        launched
            .await
            .context("the launching task died")?
            .with_context(|| {
                format!(
                    "failed to start {}; its log: {}",
                    self.name,
                    self.log.display()
                )
            })
    }

    async fn launch_and_record(&self) -> Result<()> {
        let spec = self.state()?.spec;
        let process = Some(self.launch(&spec).await?);
        self.write(&State { spec, process })
    }

    /// Asks the part to end, and kills it when it does not.
    pub async fn stop(&self) -> Result<()> {
        let Some(process) = self.process() else {
            return Ok(());
        };
        process.signal(Signal::TERM)?;
        if process.wait_gone(STOP_DEADLINE).await.is_err() {
            self.kill9().await?;
        }
        Ok(())
    }

    /// Kills the part (SIGKILL) and waits until it is dead.
    pub async fn kill9(&self) -> Result<()> {
        // One that is being launched is killed as soon as it is known.
        let _launching = lock(&self.launch_lock()).await?;
        let Some(process) = self.process() else {
            return Ok(());
        };
        process.signal(Signal::KILL)?;
        process
            .wait_gone(KERNEL_DEADLINE)
            .await
            .with_context(|| format!("{} cannot be killed", self.name))
    }

    /// Stops the part and starts it again with the same arguments.
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Waits until `ready` says so; at once an error when the part has ended meanwhile.
    pub async fn wait_ready<F>(&self, deadline: Duration, ready: F) -> Result<()>
    where
        F: AsyncFn() -> Result<()>,
    {
        let what = format!(
            "{} to be ready (its log: {})",
            self.name,
            self.log.display()
        );
        wait_for(&what, deadline, async || {
            if self.process().is_none() {
                bail!(
                    "{} has ended; it said last:\n{}",
                    self.name,
                    self.last_words()
                );
            }
            Ok(Seen::of(ready().await))
        })
        .await
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        tail(&String::from_utf8_lossy(&bytes), QUOTED_LINES)
    }

    fn launch_lock(&self) -> PathBuf {
        self.file.with_extension("lock")
    }

    fn state(&self) -> Result<State> {
        read_json(&self.file)?.with_context(|| format!("there is no part {:?}", self.name))
    }

    fn write(&self, state: &State) -> Result<()> {
        write_json(&self.file, state)
    }

    async fn launch(&self, spec: &Spec) -> Result<ProcessId> {
        let pid_file = self.pid_file(&spec.place);
        let _ = std::fs::remove_file(&pid_file); // of an earlier life
        let log = self.open_log()?;
        let mut launcher = command(launcher_words(spec, &self.inner_pid_file(&spec.place)));
        launcher
            .current_dir("/")
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .envs(&spec.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // The launcher ends as soon as it has forked; only the part itself keeps the log open.
        let status = launcher.status().await.context("failed to run setsid")?;
        if !status.success() {
            bail!(
                "its launcher ended with {status}; it said:\n{}",
                self.last_words()
            );
        }
        let pid = wait_for("its pid", KERNEL_DEADLINE, async || {
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            Ok(
                match text.strip_suffix('\n').and_then(|pid| pid.parse().ok()) {
                    Some(pid) => Seen::Wanted(pid),
                    None => Seen::NotYet(format!("{text:?} in {}", pid_file.display())),
                },
            )
        })
        .await?;
        let pid = match &spec.place {
            Place::Host | Place::Groups(_) => pid,
            Place::Node { init, .. } => find_in_namespace(*init, pid)
                .with_context(|| format!("it ended at once; it said:\n{}", self.last_words()))?,
        };
        ProcessId::of(pid)
            .with_context(|| format!("it ended at once; it said:\n{}", self.last_words()))
    }

    fn open_log(&self) -> Result<File> {
        let context = || format!("failed to open {}", self.log.display());
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder).with_context(context)?;
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(context)
    }

    /// The pid file as the part names it.
    fn inner_pid_file(&self, place: &Place) -> PathBuf {
        match place {
            Place::Host | Place::Groups(_) => self.file.with_extension("pid"),
            Place::Node { .. } => {
                Path::new(NODE_PIDS).join(format!("{}.pid", self.name.replace('/', ".")))
            }
        }
    }

    /// The pid file as this machine names it.
    fn pid_file(&self, place: &Place) -> PathBuf {
        let inner = self.inner_pid_file(place);
        match place {
            Place::Host | Place::Groups(_) => inner,
            Place::Node { init, .. } => {
                let inner = inner.strip_prefix("/").unwrap_or(&inner);
                Path::new("/proc")
                    .join(init.to_string())
                    .join("root")
                    .join(inner)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part that only sleeps, and was never started.
    fn sleeper(folder: &Path) -> Result<Part> {
        let part = Part {
            name: "sleeper".to_owned(),
            file: folder.join("sleeper.json"),
            log: folder.join("sleeper.log"),
        };
        part.write(&State {
            spec: Spec::host("sleeper", ["sleep", "600"]),
            process: None,
        })?;
        Ok(part)
    }

    /// Whether any process still writes to the part's log.
    fn writes(part: &Part) -> Result<bool> {
        let log = part.log.canonicalize()?;
        let mut outputs = std::fs::read_dir("/proc")?
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path().join("fd/1")).ok());
        Ok(outputs.any(|output| output == log))
    }

    #[tokio::test]
    async fn what_was_launched_and_no_longer_waited_for_is_killed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let part = sleeper(folder.path())?;
        let mut start = Box::pin(part.start());
        while !part.log.exists() {
            let early = futures::poll!(&mut start);
            assert!(early.is_pending(), "its log is opened first: {early:?}");
            tokio::task::yield_now().await;
        }
        drop(start);
        part.kill9().await?;
        assert!(part.process().is_none() && !writes(&part)?);
        Ok(())
    }

    #[tokio::test]
    async fn what_was_launched_by_somebody_who_died_is_found() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let part = sleeper(folder.path())?;
        part.start().await?;
        let process = part.process();
        let spec = part.state()?.spec;
        part.write(&State {
            spec,
            process: None,
        })?;
        assert!(process.is_some() && part.process() == process && writes(&part)?);
        part.kill9().await?;
        assert!(part.process().is_none() && !writes(&part)?);
        Ok(())
    }
}
