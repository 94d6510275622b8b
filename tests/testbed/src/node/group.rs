//! A node's control groups, one in each hierarchy of the machine: they hold all its processes, so that `down` can prove
//! that none is left, and keep what happens below `/sys/fs/cgroup` in one node away from the other and from the machine.
//!
//! Sets no limits itself; a node's kubelet does, below. In cgroup2 only groups without groups below them may hold
//! processes, so what the node's own daemons are in there is [`HOME`], beside the kubelet's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::layout::Layout;
use crate::wait::{Seen, wait_for};

const EMPTY_DEADLINE: Duration = Duration::from_mins(1);
/// Where a node's daemons are in cgroup2.
const HOME: &str = "host";

/// A hierarchy that this machine has mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    mount_point: PathBuf,
    /// cgroup2, the one hierarchy for all. Beside hierarchies of version 1, which have the controllers then, it only
    /// holds processes, like them.
    unified: bool,
}

/// The groups that a node's first process begins in, and sees as the roots of all.
pub(super) fn roots(layout: &Layout, node: &str) -> Vec<PathBuf> {
    let name = name(layout, node);
    hierarchies()
        .map(|hierarchy| hierarchy.mount_point.join(&name))
        .collect()
}

/// The groups that the node's daemons are started in.
pub(super) fn homes(layout: &Layout, node: &str) -> Vec<PathBuf> {
    let name = name(layout, node);
    hierarchies()
        .map(
            |Hierarchy {
                 mount_point,
                 unified,
             }| {
                let root = mount_point.join(&name);
                if unified { root.join(HOME) } else { root }
            },
        )
        .collect()
}

/// Makes the groups.
pub(super) fn ensure(layout: &Layout, node: &str) -> Result<()> {
    for group in roots(layout, node) {
        std::fs::create_dir_all(&group)
            .with_context(|| format!("failed to make the control group {}", group.display()))?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            inherit(&group, file)?;
        }
    }
    Ok(())
}

/// Lets the node have groups of its own below: in cgroup2 what began in the root moves to its home. Controllers that
/// the machine has not handed down yet, it hands down from then on.
pub(super) async fn settle(layout: &Layout, node: &str) -> Result<()> {
    let Some(Hierarchy { mount_point, .. }) = hierarchies().find(|hierarchy| hierarchy.unified)
    else {
        return Ok(());
    };
    let root = mount_point.join(name(layout, node));
    let home = root.join(HOME);
    let context = || format!("failed to divide the control group {}", root.display());
    std::fs::create_dir_all(&home).with_context(context)?;
    // More than once: what is moved may just be starting another one, which begins where its parent was.
    let what = format!("{} to be empty", root.display());
    wait_for(&what, EMPTY_DEADLINE, async || {
        let processes = std::fs::read_to_string(root.join("cgroup.procs")).with_context(context)?;
        for pid in processes.lines() {
            // One that has ended meanwhile needs no home.
            let _ = std::fs::write(home.join("cgroup.procs"), pid);
        }
        Ok(Seen::when(processes.is_empty(), "some are being moved"))
    })
    .await?;
    for group in [&mount_point, &root] {
        let controllers = std::fs::read_to_string(group.join("cgroup.controllers"))?;
        for controller in controllers.split_whitespace() {
            // Not every controller can be handed down, and a kubelet says which it misses.
            let _ = std::fs::write(
                group.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    }
    Ok(())
}

/// Waits until nothing runs in the control groups, and removes them.
pub(super) async fn remove(layout: &Layout, node: &str) -> Result<()> {
    for group in roots(layout, node) {
        if group.exists() {
            let what = format!("{} to be removed", group.display());
            wait_for(&what, EMPTY_DEADLINE, async || {
                Ok(Seen::of(remove_tree(&group)))
            })
            .await?;
        }
    }
    Ok(())
}

fn name(layout: &Layout, node: &str) -> String {
    format!("devstack-{}-{node}", layout.name())
}

/// A new cpuset of version 1 is empty, and lets nobody in.
fn inherit(group: &Path, file: &str) -> Result<()> {
    let (own, parent) = (group.join(file), group.join("..").join(file));
    let is_empty = std::fs::read_to_string(&own).is_ok_and(|found| found.trim().is_empty());
    match std::fs::read(parent) {
        Ok(parent) if is_empty => std::fs::write(&own, parent)
            .with_context(|| format!("failed to write {}", own.display())),
        Ok(_) | Err(_) => Ok(()), // another hierarchy has no such file
    }
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

fn hierarchies() -> impl Iterator<Item = Hierarchy> {
    parse(&std::fs::read_to_string("/proc/mounts").unwrap_or_default()).into_iter()
}

fn parse(mounts: &str) -> Vec<Hierarchy> {
    let parse_line = |line: &str| {
        let mut fields = line.split(' ');
        let (_device, path, kind) = (fields.next()?, fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| Hierarchy {
            mount_point: PathBuf::from(path),
            unified: kind == "cgroup2",
        })
    };
    let mut found: Vec<Hierarchy> = mounts.lines().filter_map(parse_line).collect();
    if !found.iter().all(|hierarchy| hierarchy.unified) {
        for hierarchy in &mut found {
            hierarchy.unified = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(mount_point: &str, unified: bool) -> Hierarchy {
        let mount_point = PathBuf::from(mount_point);
        Hierarchy {
            mount_point,
            unified,
        }
    }

    #[test]
    fn the_unified_hierarchy_is_the_only_one() {
        let only = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(parse(only), [hierarchy("/sys/fs/cgroup", true)]);
        let beside = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let expected = ["cpu", "unified"].map(|name| format!("/sys/fs/cgroup/{name}"));
        assert_eq!(parse(beside), expected.map(|path| hierarchy(&path, false)));
    }
}
