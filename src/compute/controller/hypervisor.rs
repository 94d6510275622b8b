//! Says whether each `Hypervisor` can take servers, and tells the scheduler. Never decides: see `plan::hypervisor`.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use tokio::time::Instant;

use crate::{
    api::hypervisor::Hypervisor,
    cluster::{
        Result,
        controller::{Reconciler, SLOW_RESYNC},
        writer::Claim,
    },
    compute::plan::hypervisor::{self, Observed, SILENCE_MAX, Voice},
};

use super::Context;

/// Reconciles hypervisors.
pub struct HypervisorController(pub Arc<Context>);

impl Reconciler for HypervisorController {
    type Object = Hypervisor;
    const NAME: &'static str = "hypervisor";

    async fn reconcile(&self, hypervisor: Arc<Hypervisor>) -> Result<Action> {
        let ctx = &*self.0;
        let hypervisor = ctx.caches.hypervisors.freshest(hypervisor);
        let name = hypervisor.name_any();
        let now = Instant::now();
        if ctx.caches.leases.deaf_for().is_some() {
            ctx.heartbeats.deafen(now);
        }
        let voice = ctx.heartbeats.voice(&name, now);
        let labelled = ctx
            .caches
            .nodes
            .get(None, &name)
            .is_some_and(|node| hypervisor::is_in(&node));
        let status =
            hypervisor::report(&hypervisor, Observed { labelled, voice }, Timestamp::now());
        let hypervisor = report(ctx, hypervisor, status).await?;
        ctx.scheduler.see(&hypervisor);
        Ok(Action::requeue(next(voice)))
    }
}

/// Only the condition `Ready` and the generation that it is of are ours; the rest of the status is the agent's.
async fn report(
    ctx: &Context,
    hypervisor: Arc<Hypervisor>,
    status: crate::api::hypervisor::HypervisorStatus,
) -> Result<Arc<Hypervisor>> {
    if hypervisor::is_said(&hypervisor, &status) {
        return Ok(hypervisor);
    }
    let Some(written) = ctx
        .writer
        .apply_status(&*hypervisor, &status, Claim::Shared)
        .await?
    else {
        return Ok(hypervisor);
    };
    ctx.caches.hypervisors.remember(written.clone());
    Ok(Arc::new(written))
}

/// Nothing announces silence, so it is looked for when it would be noticed.
fn next(voice: Voice) -> Duration {
    match voice {
        Voice::Heard(past) | Voice::Unconfirmed(past) if past < SILENCE_MAX => {
            SILENCE_MAX.saturating_sub(past) + Duration::from_millis(10)
        }
        Voice::Heard(_) | Voice::Unconfirmed(_) | Voice::Never => SLOW_RESYNC,
    }
}
