//! Ends what nobody wants any more: domains with our mark, and folders, for which there is no `Guest`.
//!
//! A guest's finalizer makes this rare: an object was removed by force. Nothing is ended at first sight, and disks
//! are moved aside rather than deleted, because the one who removed the object may have been wrong. Just before, the
//! API server is asked: that this agent knows of no `Guest` does not mean that there is none, for one that a newer
//! operator wrote may not be readable here. And nothing at all is ended for a cluster that is not the one that the
//! guests came from: one that was made anew knows no guest, and must not end those that run.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kube::{Api, ResourceExt};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tracing::{error, info, warn};

use crate::{
    api::guest::Guest,
    cluster::{Result, request::in_time, telemetry},
    node::{
        driver::{DomainInfo, Driver, Leftovers},
        files,
        images::ImageCache,
        plan::orphans::orphans,
    },
};

use super::{Context, host};

#[cfg(test)]
mod tests;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);

/// How long something must have been unwanted before it is ended.
const GRACE: Duration = Duration::from_secs(30);

/// What all images together may take before those that no guest uses are removed, least recently used first.
const IMAGES_BYTES_MAX: u64 = 64 << 30;

/// Where the agent keeps the UID of the `Hypervisor` that it serves, in its state folder.
const ALLEGIANCE: &str = "hypervisor-uid";

/// It is no secret.
const ALLEGIANCE_MODE: u32 = 0o644;

/// What is known from one sweep to the next.
#[derive(Default)]
struct Notes {
    /// What nobody stands for, and since when.
    unwanted: HashMap<String, Instant>,
    /// Whether it is on disk which cluster the guests come from.
    sworn: bool,
    /// Whether it was said that this is another cluster, or that it cannot be noted which one it is.
    warned: bool,
    /// Whether the last sweep could not see what there is.
    blind: bool,
}

/// Sweeps until `stop` says true.
pub async fn keep_sweeping<D: Driver>(ctx: Arc<Context<D>>, mut stop: watch::Receiver<bool>) {
    let mut ticks = time::interval(EVERY);
    let mut notes = Notes::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        sweep(&ctx, &mut notes).await;
    }
}

async fn sweep<D: Driver>(ctx: &Context<D>, notes: &mut Notes) {
    let guests = ctx.guests.all();
    ctx.metrics
        .guests
        .set(i64::try_from(guests.len()).unwrap_or(i64::MAX));
    ctx.images.count();
    measure_disk(ctx);
    let wanted: BTreeSet<String> = guests.iter().map(|guest| guest.name_any()).collect();
    ctx.memory.keep(&wanted);
    let Some(seen) = look(ctx, notes, &wanted).await else {
        return;
    };
    if !notes.sworn {
        let is_clean = nothing_is_left(&seen, &wanted);
        notes.sworn = serves_the_same(ctx, notes, is_clean).await == Some(true);
    }
    if let Ok(Some(hypervisor)) = host::serves(ctx).await {
        let orphans = orphans(seen.domains, seen.folders, &wanted, &hypervisor);
        notes.unwanted.retain(|uid, _| orphans.contains_key(uid));
        ctx.metrics
            .orphans
            .set(i64::try_from(orphans.len()).unwrap_or(i64::MAX));
        end_what_is_due(ctx, notes, orphans).await;
    }
    // An overlay without its base is lost, whether it has a Guest, an unreadable one, or lies in lost+found.
    let images = guests
        .iter()
        .map(|guest| guest.spec.root_disk.image.sha256.clone())
        .chain(
            seen.bases
                .iter()
                .filter_map(|path| ImageCache::digest(path)),
        )
        .collect();
    if let Err(error) = ctx.images.retain(&images, IMAGES_BYTES_MAX).await {
        warn!(
            error = telemetry::chain(&error),
            "unused images could not be removed"
        );
    }
}

/// What cannot be told now is told as it was last.
fn measure_disk<D: Driver>(ctx: &Context<D>) {
    if let Ok(disk) = rustix::fs::statvfs(&ctx.site.state_dir) {
        let bytes =
            |blocks: u64| i64::try_from(blocks.saturating_mul(disk.f_frsize)).unwrap_or(i64::MAX);
        ctx.metrics.disk_size.set(bytes(disk.f_blocks));
        // What root alone may still write is no help to guests.
        ctx.metrics.disk_free.set(bytes(disk.f_bavail));
    }
}

/// What there is on this node.
struct Seen {
    domains: Vec<DomainInfo>,
    folders: Vec<String>,
    /// What disks stand on whose guests are not known.
    bases: Vec<PathBuf>,
}

/// Who cannot say what there is ends nothing and removes nothing, and says so once.
async fn look<D: Driver>(
    ctx: &Context<D>,
    notes: &mut Notes,
    known: &BTreeSet<String>,
) -> Option<Seen> {
    let domains = ctx.driver.list().await;
    let seen = match (domains, ctx.disks.list(), ctx.disks.bases(known)) {
        (Ok(domains), Ok(folders), Ok(bases)) => Ok(Seen {
            domains,
            folders,
            bases,
        }),
        (Err(error), _, _) => Err(telemetry::chain(&error)),
        (_, Err(error), _) | (_, _, Err(error)) => Err(telemetry::chain(&error)),
    };
    if let (Err(error), false) = (&seen, notes.blind) {
        warn!(
            error,
            "what is on this node cannot be told: nothing that is unwanted is ended, and no image is removed, until it can"
        );
    }
    notes.blind = seen.is_err();
    seen.ok()
}

/// Ends the orphans that have been unwanted for long enough.
async fn end_what_is_due<D: Driver>(
    ctx: &Context<D>,
    notes: &mut Notes,
    orphans: BTreeMap<String, Option<DomainInfo>>,
) {
    let mut due = Vec::new();
    for (uid, domain) in orphans {
        let since = *notes
            .unwanted
            .entry(uid.clone())
            .or_insert_with(Instant::now);
        if since.elapsed() >= GRACE {
            due.push((uid, domain));
        }
    }
    if due.is_empty() {
        return;
    }
    // Read anew: the cluster may have been replaced under a running agent.
    notes.sworn = serves_the_same(ctx, notes, false).await == Some(true);
    if !notes.sworn {
        return;
    }
    for (uid, domain) in due {
        match is_gone(ctx, &uid).await {
            Ok(true) => end(ctx, &uid, domain.as_ref()).await,
            Ok(false) => {
                warn!(
                    guest = uid,
                    "there is a Guest that this agent does not know or cannot read: its domain and disk are left alone; \
                     is the agent older than the operator?"
                );
                // The next question waits as long as the first did.
                notes.unwanted.insert(uid, Instant::now());
            }
            Err(error) => {
                warn!(
                    guest = uid,
                    error = telemetry::chain(&error),
                    "whether a Guest stands for this domain or folder cannot be told: it is left alone"
                );
            }
        }
    }
}

/// Whether the API server says for certain that there is no such `Guest`. Only its name is read, because one that a
/// newer operator wrote may not be readable. That the whole kind is not served is no answer.
async fn is_gone<D: Driver>(ctx: &Context<D>, uid: &str) -> Result<bool> {
    let guests = Api::<Guest>::namespaced(ctx.client(), &ctx.namespace);
    let subject = format!("Guest {}/{uid}", ctx.namespace);
    let ask = async {
        match guests.get_metadata(uid).await {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(status)) if status.reason == "NotFound" => Ok(true),
            Err(error) => Err(error),
        }
    };
    in_time("look for", subject, ask).await
}

/// Whether everything here has its `Guest`, so that there is nothing that another cluster could miss.
fn nothing_is_left(seen: &Seen, wanted: &BTreeSet<String>) -> bool {
    let is_ours = |domain: &&DomainInfo| domain.mark.is_some() || domain.running_mark.is_some();
    let domains = seen.domains.iter().filter(is_ours);
    let folders = seen.folders.iter().cloned();
    domains
        .map(|domain| domain.id.to_string())
        .chain(folders)
        .all(|uid| wanted.contains(&uid))
}

/// Whether the cluster is the one that this node's guests came from; `None` while that cannot be told. Where nothing is
/// left of another one, it becomes this one: the `Hypervisor` was deleted and made anew, or Kilonova installed again.
async fn serves_the_same<D: Driver>(
    ctx: &Context<D>,
    notes: &mut Notes,
    is_clean: bool,
) -> Option<bool> {
    let uid = host::serves_now(ctx).await.ok()??;
    let path = ctx.site.state_dir.join(ALLEGIANCE);
    match tokio::fs::read_to_string(&path).await {
        Ok(known) if known.trim() == uid => {
            notes.warned = false;
            Some(true)
        }
        Ok(known) if is_clean => {
            info!(
                known = known.trim(),
                uid, "nothing is left of the Hypervisor object that this node served before"
            );
            take_note(path, uid, notes).await
        }
        Ok(known) => {
            if !notes.warned {
                error!(
                    known = known.trim(), uid, path = %path.display(),
                    "this node served another Hypervisor object before: what no Guest stands for is left alone; end what \
                     is left of the old cluster's domains with virsh, then delete the file to have disks moved to \
                     lost+found"
                );
            }
            notes.warned = true;
            Some(false)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => take_note(path, uid, notes).await,
        Err(_) => None,
    }
}

/// Notes on disk which `Hypervisor` this node serves from now on.
async fn take_note(path: PathBuf, uid: String, notes: &mut Notes) -> Option<bool> {
    match swear(path, uid).await {
        Ok(()) => {
            notes.warned = false;
            Some(true)
        }
        Err(error) => {
            if !notes.warned {
                warn!(%error, "which Hypervisor this node serves cannot be noted: nothing is ended until it can");
            }
            notes.warned = true;
            None
        }
    }
}

async fn swear(path: PathBuf, uid: String) -> io::Result<()> {
    let write = move || files::replace(Path::new(&path), uid.as_bytes(), ALLEGIANCE_MODE);
    tokio::task::spawn_blocking(write)
        .await
        .map_err(io::Error::other)
        .flatten()
}

async fn end<D: Driver>(ctx: &Context<D>, uid: &str, domain: Option<&DomainInfo>) {
    warn!(
        guest = uid,
        "no Guest stands for this domain or folder: it is ended, and its disk moved aside"
    );
    if let Some(domain) = domain {
        let ended = async {
            ctx.driver.destroy(domain.id).await?;
            // With its disk in lost+found, the guest can be brought back: what it wrote elsewhere must stay, too.
            ctx.driver.undefine(domain.id, Leftovers::Keep).await
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
