//! What of a testbed is in the machine: taken while it runs, looked for when it should be gone.
//!
//! Only what belongs to the one testbed, since others run beside it. Whatever the kernel hands out again once it is
//! free (pids, names of links, numbers of namespaces) is told apart from what a newer testbed got: processes by their
//! start time, links by their index, which only grows, and namespaces by keeping them open, so that their numbers
//! cannot be given away meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{ProcessId, Seen, Testbed, wait_for};

const NAMESPACES: [&str; 6] = ["net", "mnt", "pid", "uts", "ipc", "cgroup"];

pub struct Traces {
    name: String,
    links: BTreeMap<String, u32>,
    processes: Vec<ProcessId>,
    namespaces: BTreeMap<PathBuf, File>,
    root: PathBuf,
}

impl Traces {
    pub fn of(testbed: &Testbed) -> Result<Self> {
        let mut pids: BTreeSet<i32> = BTreeSet::new();
        for part in testbed.parts()? {
            let process = part
                .process()
                .with_context(|| format!("{} is dead", part.name()))?;
            pids.insert(process.pid);
        }
        for group in groups(testbed.name())? {
            let procs = std::fs::read_to_string(group.join("cgroup.procs"))?;
            pids.extend(procs.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        let mut namespaces = BTreeMap::new();
        let mut inits = vec![testbed.outside().init()?];
        for node in testbed.nodes()? {
            inits.push(node.init()?);
        }
        for init in inits {
            for kind in NAMESPACES {
                let link = format!("/proc/{init}/ns/{kind}");
                let number = std::fs::read_link(&link)?;
                if number != std::fs::read_link(format!("/proc/self/ns/{kind}"))? {
                    namespaces.insert(number, File::open(&link)?);
                }
            }
        }
        let [_, _, slot, _] = testbed.host_address().octets();
        Ok(Self {
            name: testbed.name().to_owned(),
            links: links(&format!("kn{slot}"))?,
            // What has ended since it was listed is no trace.
            processes: pids
                .into_iter()
                .filter_map(|pid| ProcessId::of(pid).ok())
                .collect(),
            namespaces,
            root: PathBuf::from("/var/lib/kilonova/devstack").join(testbed.name()),
        })
    }

    /// How many processes the testbed had.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Waits until nothing is left. (What was killed is gone when its parent, the machine's init, has reaped it.)
    pub async fn wait_gone(&self) -> Result<()> {
        wait_for("nothing to be left", Duration::from_mins(1), async || {
            let left = self.left()?;
            Ok(Seen::when(left.is_empty(), left.join(", ")))
        })
        .await
    }

    /// Everything that is still there, in words.
    pub fn left(&self) -> Result<Vec<String>> {
        let mut left: Vec<String> = Vec::new();
        let alive = self.processes.iter().filter(|process| process.is_alive());
        left.extend(alive.map(|process| format!("process {}", process.pid)));
        left.extend(self.left_links());
        let mounts = std::fs::read_to_string("/proc/mounts")?;
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&self.name))
                .map(str::to_owned),
        );
        left.extend(
            groups(&self.name)?
                .iter()
                .map(|group| group.display().to_string()),
        );
        left.extend(self.used_namespaces()?);
        if self.root.exists() {
            left.push(self.root.display().to_string());
        }
        for device in std::fs::read_dir("/sys/block")? {
            let backing = device?.path().join("loop/backing_file");
            let file = std::fs::read_to_string(&backing).unwrap_or_default();
            if file.contains(&self.name) {
                left.push(format!("loop device of {file}"));
            }
        }
        Ok(left)
    }

    fn left_links(&self) -> impl Iterator<Item = String> {
        let there = |(link, index): &(&String, &u32)| link_index(link) == Some(**index);
        let left = self.links.iter().filter(there);
        left.map(|(link, _)| format!("link {link}"))
    }

    fn used_namespaces(&self) -> Result<Vec<String>> {
        let mut used = Vec::new();
        for process in std::fs::read_dir("/proc")? {
            let namespaces = process?.path().join("ns");
            for kind in NAMESPACES {
                let link = std::fs::read_link(namespaces.join(kind));
                if link.is_ok_and(|link| self.namespaces.contains_key(&link)) {
                    used.push(namespaces.join(kind).display().to_string());
                }
            }
        }
        Ok(used)
    }
}

/// The bridges and the cables of a testbed, by the prefix of their names.
fn links(prefix: &str) -> Result<BTreeMap<String, u32>> {
    let mut links = BTreeMap::new();
    for link in std::fs::read_dir("/sys/class/net")? {
        let link = link?.file_name().to_string_lossy().into_owned();
        let rest = link.strip_prefix(prefix);
        if !rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())) {
            continue;
        }
        if let Some(index) = link_index(&link) {
            links.insert(link, index);
        }
    }
    Ok(links)
}

fn link_index(link: &str) -> Option<u32> {
    let index = std::fs::read_to_string(format!("/sys/class/net/{link}/ifindex")).ok()?;
    index.trim().parse().ok()
}

fn groups(name: &str) -> Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    let mut groups = Vec::new();
    for line in mounts.lines().filter(|line| line.contains(" cgroup")) {
        let Some(root) = line.split(' ').nth(1).map(Path::new) else {
            continue;
        };
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            let prefix = format!("devstack-{name}-");
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                groups.push(entry.path());
            }
        }
    }
    Ok(groups)
}
