//! The image that holds a pod's namespaces: needs nothing but itself, and ends when it is asked to.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testbed::{Progress, Seen, container, wait_for};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn pause_waits_until_it_is_asked_to_end() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let archive = container::pause(cache.path(), &Progress::silent()).await?;
    assert_eq!(archive.reference.to_string(), container::PAUSE);
    let root = cache.path().join("root");
    archive.unpack(&root).await?;

    // As the first process of a process namespace, which is sent no signal that it has not provided for.
    let mut outside = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--root"])
        .arg(&root)
        .arg("/pause")
        .kill_on_drop(true)
        .spawn()?;
    let pid = outside.id().context("unshare has ended")?;
    let inside = wait_for("pause to start", SOON, async || {
        Ok(Seen::of(child_named(pid, "pause")))
    })
    .await?;
    assert_eq!(outside.try_wait()?, None, "it waits");
    // Asked again until it has come so far as to listen.
    let status = wait_for("pause to end", SOON, || {
        // It may have ended meanwhile.
        let _ = kill_process(inside, Signal::TERM);
        let ended = outside.try_wait().context("unshare cannot be looked at");
        let seen = ended.map(|ended| Seen::of(ended.context("it runs")));
        std::future::ready(seen)
    })
    .await?;
    assert!(status.success(), "{status}");
    Ok(())
}

fn child_named(parent: u32, name: &str) -> Result<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let child = children.trim();
    let found = fs::read_to_string(format!("/proc/{child}/comm"))?;
    ensure!(found.trim() == name, "{child} is {found}");
    Pid::from_raw(child.parse()?).context("no process has pid 0")
}
