//! Processes by identity. A pid alone is never trusted: it is used again after its process has ended, so every
//! signal is preceded by a look at the start time. Never finds processes by their names.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::wait::{Seen, wait_for};

/// A process that cannot be mistaken for another one, not even after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid in the root pid namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    start_ticks: u64,
    boot_id: String,
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    start_ticks: u64,
}

impl ProcessId {
    /// The identity of a process that runs now.
    pub fn of(pid: i32) -> Result<Self> {
        let stat = Stat::read(pid).with_context(|| format!("there is no process {pid}"))?;
        Ok(Self {
            pid,
            start_ticks: stat.start_ticks,
            boot_id: boot_id()?,
        })
    }

    /// Whether this very process still runs. One that has ended and only waits for its parent does not.
    pub fn is_alive(&self) -> bool {
        let same_boot = boot_id().is_ok_and(|id| id == self.boot_id);
        same_boot
            && Stat::read(self.pid).is_some_and(|stat| {
                stat.start_ticks == self.start_ticks && !matches!(stat.state, 'Z' | 'X')
            })
    }

    /// Sends a signal to the process and whatever it started in its group; nothing when it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) else {
            return Ok(());
        };
        match kill_process_group(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("failed to signal process group {}", self.pid))
            }
        }
    }

    /// Waits until the process has ended.
    pub async fn wait_gone(&self, deadline: Duration) -> Result<()> {
        let what = format!("end of process {}", self.pid);
        wait_for(&what, deadline, async || {
            Ok(Seen::when(!self.is_alive(), "it still runs"))
        })
        .await
    }
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command's name is in brackets and may hold anything, so fields count from the last bracket: the state is
    /// field 3 of proc(5), the start time field 22.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let start_ticks = fields.nth(22 - 3 - 1)?.parse().ok()?;
        Some(Self { state, start_ticks })
    }
}

/// The children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// Finds the process that is known as `inner_pid` in the pid namespace of `init`.
pub fn find_in_namespace(init: i32, inner_pid: i32) -> Result<i32> {
    let namespace = pid_namespace(init).context("the node's first process has ended")?;
    let entries = std::fs::read_dir("/proc").context("failed to list /proc")?;
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .find(|&pid| {
            innermost_pid(pid) == Some(inner_pid) && pid_namespace(pid).as_ref() == Some(&namespace)
        })
        .with_context(|| format!("no process has pid {inner_pid} in the namespace of {init}"))
}

/// The first process of a container, whose id (64 digits) is in the name of its control group.
pub fn first_of_container(id: &str) -> Option<ProcessId> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let pid = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .find(|&pid| {
            let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
            groups.is_ok_and(|groups| groups.contains(id)) && innermost_pid(pid) == Some(1)
        })?;
    ProcessId::of(pid).ok()
}

fn pid_namespace(pid: i32) -> Option<std::path::PathBuf> {
    std::fs::read_link(Path::new("/proc").join(pid.to_string()).join("ns/pid")).ok()
}

fn innermost_pid(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn boot_id() -> Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .context("failed to read the boot id")?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stat_of_a_nasty_name() {
        let stat = "42 (a) R (b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 2";
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                state: 'S',
                start_ticks: 9876
            })
        );
    }

    #[tokio::test]
    async fn a_reused_pid_is_another_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let me = ProcessId::of(own).unwrap();
        assert!(me.is_alive());
        let other = ProcessId {
            start_ticks: me.start_ticks + 1,
            ..me
        };
        assert!(!other.is_alive());
        other
            .signal(Signal::KILL)
            .expect("a signal to nobody is no error, and this test survives it");
    }

    #[tokio::test]
    async fn an_ended_process_is_dead_even_when_nobody_reaped_it() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let id = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(id.is_alive());
        child.kill().unwrap();
        id.wait_gone(Duration::from_mins(1)).await.unwrap();
        child.wait().unwrap();
    }
}
