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
        guest::{FINALIZER, Guest, GuestStatus, SEED_META_DATA, SEED_USER_DATA},
        server::PowerState,
    },
    cluster::{
        Result,
        controller::{Reconciler, SLOW_RESYNC},
        read, telemetry,
        writer::Claim,
    },
    node::{
        disks::GuestFolder,
        driver::{DomainId, Driver},
        images::Presence,
        plan::{
            action::{self, ActionPlan},
            decide::{self, Decision, Files, Observed, Sight, Step, Waiting},
            domain::{DomainLayout, Mark, domain},
            image_format::file_size_limit,
            report::{self, Progress},
            seed::Documents,
        },
    },
};

use super::{Context, steps};

/// How soon to ask a hypervisor again that did not answer: it is usually announced sooner.
const AFTER_SILENCE: Duration = Duration::from_secs(2);

/// Reconciles guests.
pub struct GuestController<D>(pub Arc<Context<D>>);

/// A guest with everything that its steps work on.
pub(super) struct Work {
    pub guest: Arc<Guest>,
    pub id: DomainId,
    pub folder: GuestFolder,
    pub mark: Mark,
    pub xml: String,
    pub image: Option<Presence>,
    pub documents: Option<Documents>,
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
            return Ok(Action::requeue(AFTER_SILENCE));
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

/// Everything about the guest that does not depend on the hypervisor; `None` while that cannot be known, or when the
/// object is not one that the operator would write.
async fn prepare<D: Driver>(ctx: &Context<D>, guest: Arc<Guest>) -> Result<Option<Work>> {
    let uid = guest.name_any();
    let Some(facts) = ctx.host.facts(&ctx.driver).await else {
        return Ok(None);
    };
    let (Ok(id), Ok(folder)) = (uid.parse(), ctx.disks.guest(&uid)) else {
        tracing::error!(guest = uid, "a guest whose name is no UUID is left alone");
        return Ok(None);
    };
    let existing = folder.exists().unwrap_or_default();
    let content = &guest.spec.root_disk.image;
    let limit = file_size_limit(content.format, guest.spec.root_disk.size);
    let leaving = guest.spec.retired;
    let image = (!existing.root_disk && !leaving).then(|| ctx.images.ensure(content, limit));
    let documents = if existing.seed || leaving {
        None
    } else {
        documents(ctx, &guest).await?
    };
    let layout = DomainLayout {
        virt_type: facts.virt_type,
        architecture: facts.host.architecture.clone(),
        root_overlay: folder.root_disk(),
        base_image: ctx.images.path(content),
        base_format: content.format,
        seed: folder.seed(),
        console_log: folder.path().join("console.log"),
    };
    let domain = domain(&guest.spec, &layout);
    let (mark, xml) = match domain.mark().and_then(|mark| Ok((mark, domain.to_xml()?))) {
        Ok(written) => written,
        Err(error) => {
            tracing::error!(
                guest = uid,
                error = telemetry::chain(&error),
                "the domain cannot be written as XML"
            );
            return Ok(None);
        }
    };
    Ok(Some(Work {
        guest,
        id,
        folder,
        mark,
        xml,
        image,
        documents,
    }))
}

/// The seed's documents, from the Secret beside the guest.
async fn documents<D: Driver>(ctx: &Context<D>, guest: &Guest) -> Result<Option<Documents>> {
    let name = &guest.spec.seed_secret;
    let secret: Option<Secret> = read(&ctx.client(), Some(&ctx.namespace), name).await?;
    let Some(mut data) = secret.and_then(|secret| secret.data) else {
        return Ok(None);
    };
    let mut take = |key| data.remove(key).map(|bytes| bytes.0);
    Ok(Some(Documents {
        user_data: take(SEED_USER_DATA).unwrap_or_default(),
        meta_data: take(SEED_META_DATA).unwrap_or_default(),
        network_config: None,
    }))
}

async fn gather<D: Driver>(ctx: &Context<D>, work: &Work) -> Observed {
    let existing = work.folder.exists().unwrap_or_default();
    Observed {
        domain: sight(ctx, work.id).await,
        wanted: work.mark.clone(),
        files: Files {
            root_disk: existing.root_disk,
            seed: existing.seed,
            image: work.image.clone(),
            documents: work.documents.as_ref().map(|_| true),
        },
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
    let status = report::report(&work.guest, decision, progress, after, record, now);
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
