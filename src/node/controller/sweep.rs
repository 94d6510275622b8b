//! Ends what nobody wants any more: domains with our mark, and folders, for which there is no `Guest`.
//!
//! A guest's finalizer makes this rare: an object was removed by force. Nothing is ended at first sight, and disks
//! are moved aside rather than deleted, because the one who removed the object may have been wrong.

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
    cluster::telemetry,
    node::driver::{DomainInfo, Driver},
};

use super::Context;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);

/// How long something must have been unwanted before it is ended.
const GRACE: Duration = Duration::from_secs(30);

/// What all images together may take before those that no guest uses are removed, least recently used first.
const IMAGES_BYTES_MAX: u64 = 64 << 30;

/// Sweeps until `stop` says true.
pub async fn keep_sweeping<D: Driver>(ctx: Arc<Context<D>>, mut stop: watch::Receiver<bool>) {
    let mut ticks = time::interval(EVERY);
    let mut unwanted = HashMap::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => sweep(&ctx, &mut unwanted).await,
            _ = stop.wait_for(|stop| *stop) => return,
        }
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
