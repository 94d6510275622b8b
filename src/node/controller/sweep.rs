//! Ends what nobody wants any more: domains with our mark, and folders, for which there is no `Guest`.
//!
//! A guest's finalizer makes this rare: an object was removed by force. Nothing is ended at first sight, and disks
//! are moved aside rather than deleted, because the one who removed the object may have been wrong. And nothing at all
//! is ended for a cluster that is not the one that the guests came from: one that was made anew knows no guest, and
//! must not end those that run.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use kube::ResourceExt;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tracing::{error, warn};

use crate::{
    api::hypervisor::Hypervisor,
    cluster::{read, telemetry},
    node::driver::{DomainInfo, Driver},
};

use super::Context;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);

/// How long something must have been unwanted before it is ended.
const GRACE: Duration = Duration::from_secs(30);

/// What all images together may take before those that no guest uses are removed, least recently used first.
const IMAGES_BYTES_MAX: u64 = 64 << 30;

/// Where the agent keeps the UID of the `Hypervisor` that it serves, in its state folder.
const ALLEGIANCE: &str = "hypervisor-uid";

/// Sweeps until `stop` says true.
pub async fn keep_sweeping<D: Driver>(ctx: Arc<Context<D>>, mut stop: watch::Receiver<bool>) {
    let mut ticks = time::interval(EVERY);
    let mut unwanted = HashMap::new();
    let mut ours = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if ours.is_none() {
            ours = allegiance(&ctx).await;
        }
        match ours {
            Some(true) => sweep(&ctx, &mut unwanted).await,
            Some(false) => return,
            None => {}
        }
    }
}

/// Whether the cluster is the one that this node's guests came from; `None` while that cannot be told.
async fn allegiance<D: Driver>(ctx: &Context<D>) -> Option<bool> {
    let hypervisor: Hypervisor = read(&ctx.client(), None, &ctx.node).await.ok()??;
    let uid = hypervisor.uid()?;
    let path = ctx.state_dir.join(ALLEGIANCE);
    match tokio::fs::read_to_string(&path).await {
        Ok(known) if known.trim() == uid => Some(true),
        Ok(known) => {
            error!(
                known = known.trim(), uid, path = %path.display(),
                "this node served another Hypervisor object before: domains and disks that no Guest stands for are left \
                 alone; delete the file and restart the agent to have them ended"
            );
            Some(false)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tokio::fs::write(&path, &uid).await.ok()?;
            Some(true)
        }
        Err(_) => None,
    }
}

async fn sweep<D: Driver>(ctx: &Context<D>, unwanted: &mut HashMap<String, Instant>) {
    let guests = ctx.guests.all();
    ctx.metrics
        .guests
        .set(i64::try_from(guests.len()).unwrap_or(i64::MAX));
    let wanted: HashSet<String> = guests.iter().map(|guest| guest.name_any()).collect();
    let images = guests
        .iter()
        .map(|guest| guest.spec.root_disk.image.sha256.clone())
        .collect();
    // Who cannot say what there is, ends nothing.
    let (Ok(domains), Ok(folders)) = (ctx.driver.list().await, ctx.disks.list()) else {
        return;
    };
    let orphans: HashMap<String, Option<&DomainInfo>> = folders
        .into_iter()
        .map(|uid| (uid, None))
        .chain(
            domains
                .iter()
                .map(|domain| (domain.id.to_string(), Some(domain))),
        )
        .filter(|(uid, _)| !wanted.contains(uid))
        .collect();
    unwanted.retain(|uid, _| orphans.contains_key(uid));
    ctx.metrics
        .orphans
        .set(i64::try_from(orphans.len()).unwrap_or(i64::MAX));
    for (uid, domain) in orphans {
        let since = *unwanted.entry(uid.clone()).or_insert_with(Instant::now);
        if since.elapsed() >= GRACE {
            end(ctx, &uid, domain).await;
        }
    }
    // Folders of orphans keep their images: an overlay without its base is lost.
    if unwanted.is_empty()
        && let Err(error) = ctx.images.retain(&images, IMAGES_BYTES_MAX).await
    {
        warn!(
            error = telemetry::chain(&error),
            "unused images could not be removed"
        );
    }
}

async fn end<D: Driver>(ctx: &Context<D>, uid: &str, domain: Option<&DomainInfo>) {
    warn!(
        guest = uid,
        "no Guest stands for this domain or folder: it is ended, and its disk moved aside"
    );
    if let Some(domain) = domain {
        let ended = async {
            ctx.driver.destroy(domain.id).await?;
            ctx.driver.undefine(domain.id).await
        };
        if let Err(failure) = ended.await {
            error!(
                guest = uid,
                error = telemetry::chain(&failure),
                "an unwanted domain could not be ended"
            );
            return;
        }
    }
    if let Err(failure) = ctx.disks.set_aside(uid).await {
        error!(
            guest = uid,
            error = telemetry::chain(&failure),
            "an unwanted disk could not be moved aside"
        );
    }
}
