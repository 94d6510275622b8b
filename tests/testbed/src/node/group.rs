//! A node's control group: holds all its processes, so that `down` can prove that none is left, and keeps what
//! happens below `/sys/fs/cgroup` in one node away from the other and from the machine.
//!
//! Sets no limits. On a machine without cgroup2 nodes have none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::layout::Layout;
use crate::wait::{Seen, wait_for};

const EMPTY_DEADLINE: Duration = Duration::from_mins(1);

/// Where the node's control group is, or would be.
pub(super) fn path(layout: &Layout, node: &str) -> Option<PathBuf> {
    Some(mount_point()?.join(format!("devstack-{}-{node}", layout.name())))
}

/// Makes the control group.
pub(super) fn ensure(layout: &Layout, node: &str) -> Result<Option<PathBuf>> {
    let Some(group) = path(layout, node) else {
        return Ok(None);
    };
    std::fs::create_dir_all(&group)
        .with_context(|| format!("failed to make the control group {}", group.display()))?;
    Ok(Some(group))
}

/// Waits until nothing runs in the control group, and removes it.
pub(super) async fn remove(layout: &Layout, node: &str) -> Result<()> {
    let Some(group) = path(layout, node).filter(|group| group.exists()) else {
        return Ok(());
    };
    let what = format!("{} to be removed", group.display());
    wait_for(&what, EMPTY_DEADLINE, async || {
        Ok(Seen::of(remove_tree(&group)))
    })
    .await
}

/// Groups cannot be removed before those below them, and not while a process is in them.
fn remove_tree(group: &Path) -> Result<()> {
    for entry in std::fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(group).with_context(|| format!("{} is busy", group.display()))
}

fn mount_point() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_device, path, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}
