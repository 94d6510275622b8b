//! Tells the operator what this host is: capacity, offers, versions, images, and whether libvirt answers.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use tokio::{
    sync::{Mutex, RwLock, mpsc, watch},
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    api::{
        hypervisor::{Hypervisor, HypervisorStatus},
        value::Size,
    },
    cluster::{Result, request::in_time, telemetry, writer::Claim},
    node::{
        driver::Driver,
        plan::{capabilities::HostFacts, host},
    },
};

use super::Context;

/// How often the host is looked at although nothing was announced.
const EVERY: Duration = Duration::from_mins(1);

/// The least time between two reports, so that downloads don't make a stream of writes.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon a report that failed is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// For so long everybody is told the same of a hypervisor that did not answer.
const SILENCE: Duration = Duration::from_secs(1);

/// What the hypervisor said of the host last.
#[derive(Default)]
pub struct Host {
    facts: RwLock<Option<Arc<HostFacts>>>,
    /// Who asks for a guest holds it, so that one asks for all; with the last failure.
    asking: Mutex<Option<(Instant, String)>>,
    /// The UID of the `Hypervisor` that the agent serves, once it was read.
    serves: Mutex<Option<String>>,
}

impl Host {
    /// What the host is. Asks the hypervisor once and remembers; why it does not say, while it does not.
    pub async fn facts<D: Driver>(
        &self,
        driver: &D,
    ) -> std::result::Result<Arc<HostFacts>, String> {
        if let Some(facts) = &*self.facts.read().await {
            return Ok(Arc::clone(facts));
        }
        let mut failed = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(facts) = &*self.facts.read().await {
            return Ok(Arc::clone(facts));
        }
        if let Some((_, why)) = failed.as_ref().filter(|(at, _)| at.elapsed() < SILENCE) {
            return Err(why.clone());
        }
        let asked = self.ask(driver).await;
        *failed = asked
            .as_ref()
            .err()
            .map(|why| (Instant::now(), why.clone()));
        asked
    }

    async fn ask<D: Driver>(&self, driver: &D) -> std::result::Result<Arc<HostFacts>, String> {
        let facts = driver
            .host()
            .await
            .map(Arc::new)
            .map_err(|error| telemetry::chain(&error))?;
        *self.facts.write().await = Some(Arc::clone(&facts));
        Ok(facts)
    }
}

/// The UID of the `Hypervisor` that the agent serves; none while there is no such object. Reads it once and remembers.
pub async fn serves<D: Driver>(ctx: &Context<D>) -> Result<Option<String>> {
    let mut known = ctx.host.serves.lock().await;
    if known.is_none() {
        *known = read_uid(ctx).await?;
    }
    Ok(known.clone())
}

/// The same, read anew: the cluster may have been replaced under a running agent.
pub async fn serves_now<D: Driver>(ctx: &Context<D>) -> Result<Option<String>> {
    let uid = read_uid(ctx).await?;
    ctx.host.serves.lock().await.clone_from(&uid);
    Ok(uid)
}

/// Only the name is read: one that a newer operator wrote may not be readable.
async fn read_uid<D: Driver>(ctx: &Context<D>) -> Result<Option<String>> {
    let api = Api::<Hypervisor>::all(ctx.client());
    let subject = format!("Hypervisor {}", ctx.node);
    let found = in_time("read", subject, api.get_metadata_opt(&ctx.node)).await?;
    Ok(found.and_then(|hypervisor| hypervisor.uid()))
}

/// Reports at the start, whenever `news` says that something changed, and now and then, until `stop` says true.
pub async fn keep_reporting<D: Driver>(
    ctx: Arc<Context<D>>,
    mut news: mpsc::Receiver<()>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let wait = match report(&ctx).await {
            Ok(()) => EVERY,
            Err(error) => {
                warn!(
                    error = telemetry::chain(&error),
                    "the host could not be reported; it is tried again"
                );
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Some(()) = news.recv() => tokio::time::sleep(PAUSE).await,
            _ = stop.wait_for(|stop| *stop) => return,
        }
        while news.try_recv().is_ok() {}
    }
}

async fn report<D: Driver>(ctx: &Context<D>) -> Result<()> {
    let api = Api::<Hypervisor>::all(ctx.client());
    let subject = format!("Hypervisor {}", ctx.node);
    let hypervisor = in_time("read", subject, api.get(&ctx.node)).await?;
    let before = hypervisor.status.clone().unwrap_or_default();
    let facts = ctx
        .host
        .ask(&ctx.driver)
        .await
        .map(|facts| (*facts).clone());
    let observed = host::Observed {
        facts,
        disk: disk(&ctx.state_dir),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        images: ctx.images.list(),
    };
    let status = host::report(&before, observed, Timestamp::now());
    if same(&before, &status) {
        return Ok(());
    }
    info!("the host's report has changed");
    ctx.writer
        .apply_status(&hypervisor, &status, Claim::Shared)
        .await
        .map(drop)
}

/// Whether the agent's part of the status is what it says already: the rest is the operator's.
fn same(before: &HypervisorStatus, ours: &HypervisorStatus) -> bool {
    let others = |status: &HypervisorStatus| HypervisorStatus {
        observed_generation: None,
        conditions: status
            .conditions
            .iter()
            .filter(|condition| condition.type_ != "Ready")
            .cloned()
            .collect(),
        ..status.clone()
    };
    others(before) == others(ours)
}

/// Size of the file system that holds guests; nothing if that cannot be told, so that nothing is promised.
fn disk(state_dir: &Path) -> Size {
    match rustix::fs::statvfs(state_dir) {
        Ok(stat) => Size::bytes(stat.f_blocks.saturating_mul(stat.f_frsize)),
        Err(error) => {
            warn!(path = %state_dir.display(), %error, "the size of the file system cannot be told");
            Size::bytes(0)
        }
    }
}
