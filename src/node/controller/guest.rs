//! Keeps each guest's domain in the shape that its `Guest` asks for. Never decides: see `plan::decide`.
//!
//! Safe to run twice, to be dropped at any await, and to see stale input: whatever was half done is found by the
//! next run.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    api::{
        guest::{
            FINALIZER, Guest, GuestStatus, SEED_META_DATA, SEED_NETWORK_CONFIG, SEED_USER_DATA,
        },
        server::PowerState,
    },
    cluster::{
        Result,
        controller::{Reconciler, SLOW_RESYNC},
        read,
        request::Failure,
        telemetry,
        writer::Claim,
    },
    node::{
        disks::{DiskError, GuestFolder},
        driver::{DomainId, Driver},
        images::Presence,
        plan::{
            action::{self, ActionPlan, Outcome},
            capabilities::HostFacts,
            decide::{self, Decision, Files, Found, Observed, Papers, Sight, Step, Waiting},
            domain::{DomainLayout, Mark, domain},
            image_format::file_size_limit,
            report::{self, Progress},
            seed::Documents,
        },
    },
};

use super::{Context, host, steps};

#[cfg(test)]
mod tests;

/// How soon to ask a hypervisor again that did not answer: it is usually announced sooner.
const AFTER_SILENCE: Duration = Duration::from_secs(2);

/// Reconciles guests.
pub struct GuestController<D>(pub Arc<Context<D>>);

/// A guest with everything that its steps work on.
pub(super) struct Work {
    pub guest: Arc<Guest>,
    pub id: DomainId,
    pub folder: GuestFolder,
    pub files: Files,
    pub documents: Option<Documents>,
    /// Its definition with its mark, or why there is none.
    pub definition: std::result::Result<(Mark, String), String>,
    /// Why the hypervisor does not say what the host is, while it does not.
    pub silence: Option<String>,
}

impl<D: Driver> Reconciler for GuestController<D> {
    type Object = Guest;
    const NAME: &'static str = "guest";

    async fn reconcile(&self, guest: Arc<Guest>) -> Result<Action> {
        let ctx = &*self.0;
        let guest = ctx.guests.freshest(guest);
        let (uid, generation) = (guest.name_any(), guest.metadata.generation);
        if let Some(left) = ctx.memory.pause(&uid, generation) {
            return Ok(Action::requeue(left));
        }
        if guest.spec.power != PowerState::Running {
            ctx.memory.at_rest(&uid);
        }
        let Some(work) = prepare(ctx, guest).await? else {
            return Ok(Action::await_change());
        };
        let observed = gather(ctx, &work).await;
        let decision = decide::decide(&work.guest, &observed, Timestamp::now());
        let work = announce(ctx, work, &decision).await?;
        let progress = steps::act(ctx, &work, &decision.steps).await;
        ctx.memory
            .tried(&uid, generation, progress.failure.is_some());
        if progress.done.contains(&Step::AskShutdown) {
            ctx.memory.asked(&uid, Timestamp::now());
        }
        if progress.done.contains(&Step::Revive) {
            ctx.memory.revived(&uid, Timestamp::now());
        }
        for step in &progress.done {
            if let Step::Unplug(port) = step {
                ctx.memory.unplugged(&uid, *port, Timestamp::now());
            }
        }
        if progress.done.contains(&Step::Release) {
            ctx.memory.forget(&uid);
            return Ok(Action::await_change());
        }
        let after = if decision.steps.is_empty() {
            observed.domain
        } else {
            sight(ctx, work.id).await
        };
        say(ctx, &work, &decision, &progress, &after).await?;
        let again = next(&decision);
        Ok(Action::requeue(
            ctx.memory.pause(&uid, generation).unwrap_or(again),
        ))
    }
}

/// Everything about the guest that does not depend on its domain; `None` of an object that the operator would not write.
async fn prepare<D: Driver>(ctx: &Context<D>, guest: Arc<Guest>) -> Result<Option<Work>> {
    let uid = guest.name_any();
    let (Ok(id), Ok(folder)) = (uid.parse(), ctx.disks.guest(&uid)) else {
        tracing::error!(guest = uid, "a Guest whose name is no UUID is left alone");
        return Ok(None);
    };
    if guest.spec.server.uid != uid {
        tracing::error!(
            guest = uid,
            "a Guest whose name is not the UID of its server is left alone"
        );
        return Ok(None);
    }
    let (root_disk, seed) = (found(folder.has_root_disk()), found(folder.has_seed()));
    let content = &guest.spec.root_disk.image;
    // A disk that is there needs its base all the same: somebody may have emptied the cache.
    let needed = root_disk == Found::No || !ctx.images.path(content).is_file();
    let limit = file_size_limit(content.format, guest.spec.root_disk.size);
    let leaving = guest.spec.retired;
    let image = (needed && !leaving).then(|| ctx.images.ensure(content, limit));
    let waits = image
        .as_ref()
        .is_some_and(|presence| !matches!(presence, Presence::Ready { .. }));
    let (papers, documents) = if seed == Found::Yes || leaving || waits {
        (Papers::Unneeded, None)
    } else {
        documents(ctx, &guest).await?
    };
    let hypervisor = host::serves(ctx).await?;
    let facts = ctx.host.facts(&ctx.driver).await;
    let definition = facts
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|facts| define(ctx, &guest, &folder, hypervisor, facts));
    Ok(Some(Work {
        id,
        definition,
        silence: facts.err(),
        files: Files {
            path: folder.root_disk(),
            root_disk,
            seed,
            image,
            documents: papers,
        },
        folder,
        documents,
        guest,
    }))
}

fn found(looked: std::result::Result<bool, DiskError>) -> Found {
    match looked {
        Ok(true) => Found::Yes,
        Ok(false) => Found::No,
        Err(error) => Found::Unknown(telemetry::chain(&error)),
    }
}

/// The mark and the text of the guest's definition, or why there is none.
fn define<D: Driver>(
    ctx: &Context<D>,
    guest: &Guest,
    folder: &GuestFolder,
    hypervisor: Option<String>,
    facts: &HostFacts,
) -> std::result::Result<(Mark, String), String> {
    let content = &guest.spec.root_disk.image;
    let layout = DomainLayout {
        hypervisor,
        virt_type: facts.virt_type,
        architecture: facts.host.architecture.clone(),
        root_overlay: folder.root_disk(),
        base_image: ctx.images.path(content),
        base_format: content.format,
        seed: folder.seed(),
        console_log: folder.path().join("console.log"),
        datapath: ctx.switch.datapath(),
    };
    let domain = domain(&guest.spec, &layout);
    domain
        .mark()
        .and_then(|mark| Ok((mark, domain.to_xml()?)))
        .map_err(|error| telemetry::chain(&error))
}

/// The seed's documents, from the Secret beside the guest.
async fn documents<D: Driver>(
    ctx: &Context<D>,
    guest: &Guest,
) -> Result<(Papers, Option<Documents>)> {
    let name = &guest.spec.seed_secret;
    let secret: Option<Secret> = match read(&ctx.client(), Some(&ctx.namespace), name).await {
        Ok(secret) => secret,
        Err(error) if error.failure() == Failure::Refused => {
            tracing::warn!(error = telemetry::chain(&error), "a seed cannot be read");
            return Ok((Papers::Forbidden, None));
        }
        Err(error) => return Err(error),
    };
    let Some(mut data) = secret.and_then(|secret| secret.data) else {
        return Ok((Papers::Absent, None));
    };
    let mut take = |key| data.remove(key).map(|bytes| bytes.0);
    let documents = Documents {
        user_data: take(SEED_USER_DATA).unwrap_or_default(),
        meta_data: take(SEED_META_DATA).unwrap_or_default(),
        network_config: take(SEED_NETWORK_CONFIG),
    };
    Ok((Papers::There, Some(documents)))
}

async fn gather<D: Driver>(ctx: &Context<D>, work: &Work) -> Observed {
    let domain = match &work.silence {
        Some(why) => Sight::Unknown(why.clone()),
        None => sight(ctx, work.id).await,
    };
    let definition = work.definition.as_ref();
    Observed {
        domain,
        wanted: definition
            .map(|(mark, _)| mark.clone())
            .map_err(Clone::clone),
        files: work.files.clone(),
        recent: ctx.memory.of(&work.guest.name_any()),
    }
}

async fn sight<D: Driver>(ctx: &Context<D>, id: DomainId) -> Sight {
    match ctx.driver.find(id).await {
        Ok(Some(domain)) => Sight::Present(domain),
        Ok(None) => Sight::Absent,
        Err(error) => Sight::Unknown(telemetry::chain(&error)),
    }
}

/// Writes down that an action begins, before anything of it is done.
async fn announce<D: Driver>(ctx: &Context<D>, work: Work, decision: &Decision) -> Result<Work> {
    let Some(ActionPlan::Begin { id, .. }) = &decision.action else {
        return Ok(work);
    };
    let before = work.guest.status.clone().unwrap_or_default();
    let status = GuestStatus {
        action: Some(action::begun(id, Timestamp::now())),
        ..before
    };
    ctx.memory.begin(&work.guest.name_any(), id);
    let guest = write(ctx, &work.guest, &status).await?;
    Ok(Work { guest, ..work })
}

/// Says how the guest stands.
async fn say<D: Driver>(
    ctx: &Context<D>,
    work: &Work,
    decision: &Decision,
    progress: &Progress,
    after: &Sight,
) -> Result<()> {
    let now = Timestamp::now();
    let failure = progress
        .failure
        .as_ref()
        .map(|failure| failure.message.clone());
    let record = decision
        .action
        .as_ref()
        .map(|plan| action::record(&work.guest, plan, failure, now));
    if let Some(outcome) = record.as_ref().and_then(Outcome::of) {
        ctx.memory.concluded(&work.guest.name_any(), outcome);
    }
    let status = report::report(
        &work.guest,
        &work.files,
        decision,
        progress,
        after,
        record,
        now,
    );
    if progress.done.contains(&Step::Restart) {
        ctx.metrics.restarts.inc();
    }
    write(ctx, &work.guest, &status).await.map(drop)
}

async fn write<D: Driver>(
    ctx: &Context<D>,
    guest: &Arc<Guest>,
    status: &GuestStatus,
) -> Result<Arc<Guest>> {
    let Some(written) = ctx
        .writer
        .apply_status(&**guest, status, Claim::Shared)
        .await?
    else {
        return Ok(Arc::clone(guest));
    };
    ctx.guests.remember(written.clone());
    Ok(Arc::new(written))
}

/// Lets go of a guest of which nothing is left.
pub(super) async fn release<D: Driver>(ctx: &Context<D>, guest: &Guest) -> Result<()> {
    ctx.writer.release(guest, FINALIZER).await
}

/// When to look again although nothing has been announced.
fn next(decision: &Decision) -> Duration {
    match (&decision.waiting, decision.again) {
        (_, Some(again)) => again,
        (Waiting::Hypervisor(_), None) => AFTER_SILENCE,
        (_, None) => SLOW_RESYNC,
    }
}
