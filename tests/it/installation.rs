//! Kilonova as users install it: by its chart, on nodes with kubelets. It comes, changes, goes and comes back under
//! guests that notice nothing; nodes boot; leaders die. One test at a time, on a testbed of their own.

mod borders;
mod failover;
mod life_cycle;
mod reboot;
mod rights;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use testbed::{Helm, Release, chart};
use tokio::sync::{Mutex, MutexGuard};

use crate::shared::{GuestOnNode, OwnTestbed, Project};

static TESTBED: OwnTestbed = OwnTestbed::with_pods("inst", 2);
static TURN: Mutex<()> = Mutex::const_new(());

/// The testbed, for one test at a time, with Kilonova as `up` has installed it: the test before may have failed when
/// there was none, or another one.
async fn turn() -> Result<(MutexGuard<'static, ()>, Project<'static>)> {
    let turn = TURN.lock().await;
    let testbed = TESTBED.get().await?;
    let release = Release::of(testbed, Helm::V4).await?;
    release.install(&chart(), &[]).await?;
    Ok((turn, Project::on(testbed).await?))
}

/// A guest that must not notice anything, and its QEMU.
struct Witness {
    name: &'static str,
    guest: GuestOnNode,
    qemu: u32,
}

/// Boots servers one beside the other, on both nodes.
async fn boot_all(project: &Project<'_>, names: &[&'static str]) -> Result<Vec<Witness>> {
    try_join_all(names.iter().map(async |name| {
        let (guest, _) = project.boot(name, |_| {}).await?;
        let qemu = guest.qemu().context("it has no QEMU")?;
        anyhow::Ok(Witness { name, guest, qemu })
    }))
    .await
}

/// Each runs in the process that it was started in, and goes on counting.
async fn undisturbed(witnesses: &[Witness], since: &str) -> Result<()> {
    for Witness { name, guest, qemu } in witnesses {
        let found = guest.qemu();
        ensure!(
            found == Some(*qemu),
            "since {since} the QEMU of {name} is {found:?}, and was {qemu}"
        );
        guest
            .wait_tick()
            .await
            .with_context(|| format!("server {name}, since {since}"))?;
    }
    Ok(())
}
