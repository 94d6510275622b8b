//! Removes a testbed without a trace: processes, namespaces, mounts, links, control groups, files.
//!
//! Goes on when something fails and reports all failures at the end; the testbed's record stays until everything
//! else is gone, so `down` can be run again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use futures::future::join_all;

use crate::layout::{self, Layout};
use crate::lock::lock;
use crate::network;
use crate::node::{Node, node_name};
use crate::part::Part;
use crate::record::Record;

/// So many failed testbeds keep their logs.
const FAILED_MAX: usize = 10;

/// Removes a testbed, whatever state it is in; fine when there is none.
pub async fn down(name: &str) -> Result<()> {
    let layout = Layout::new(name)?;
    if !layout.root().exists() {
        return Ok(());
    }
    let _changing = lock(&layout.lock()).await?;
    remove(&layout).await
}

/// Removes a testbed whose lock the caller holds.
pub(crate) async fn remove(layout: &Layout) -> Result<()> {
    let record = Record::read(layout).unwrap_or_default();
    let mut failures = Vec::new();
    let mut note = |result: Result<()>| failures.extend(result.err());
    if let Some(Record { slot, nodes, .. }) = &record {
        let nodes: Vec<Node> = (1..=*nodes)
            .map(|number| Node::new(layout, *slot, number))
            .collect();
        join_all(nodes.iter().map(Node::power_off))
            .await
            .into_iter()
            .for_each(&mut note);
    }
    match Part::all(layout) {
        Ok(parts) => {
            join_all(parts.iter().map(Part::kill9))
                .await
                .into_iter()
                .for_each(&mut note);
        }
        Err(error) => note(Err(error)),
    }
    if let Some(Record { slot, .. }) = &record {
        note(network::remove(*slot).await);
    }
    if failures.is_empty() {
        return std::fs::remove_dir_all(layout.root())
            .with_context(|| format!("failed to remove {}", layout.root().display()));
    }
    let failures: Vec<String> = failures
        .iter()
        .map(|failure| format!("{failure:#}"))
        .collect();
    bail!(
        "testbed {} could not be removed completely; run `{}` again. What failed:\n{}",
        layout.name(),
        layout.devstack("down"),
        failures.join("\n")
    )
}

/// Moves the logs of a testbed to where they outlive it, and returns where that is.
pub(crate) fn keep_logs(layout: &Layout) -> Result<PathBuf> {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
    let folder = Path::new(layout::FAILED).join(format!("{}-{now}", layout.name()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make {}", folder.display()))?;
    move_if_there(&layout.logs(), &folder.join("parts"))?;
    let nodes = Record::read(layout)?.map_or(0, |record| record.nodes);
    for node in (1..=nodes).map(node_name) {
        // Copying would do as well, but a node that fills its disk with logs shall not do so twice.
        move_if_there(
            &layout.node_root(&node).join("var/log/libvirt"),
            &folder.join(&node),
        )?;
    }
    forget_oldest()?;
    Ok(folder)
}

fn move_if_there(from: &Path, to: &Path) -> Result<()> {
    if from.exists() {
        std::fs::rename(from, to).with_context(|| format!("failed to keep {}", from.display()))?;
    }
    Ok(())
}

fn forget_oldest() -> Result<()> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(layout::FAILED)? {
        let entry = entry?;
        kept.push((entry.metadata()?.modified()?, entry.path()));
    }
    kept.sort();
    for (_, folder) in kept.iter().rev().skip(FAILED_MAX) {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    Ok(())
}
