//! Does what was decided, step by step. Holds no opinion: every branch here is one step.

use std::collections::BTreeSet;

use crate::{
    api::guest::Nic,
    cluster::telemetry,
    node::{
        disks::DiskError,
        driver::{Driver, DriverError, Failure, Leftovers, PortId},
        images::Presence,
        plan::{
            decide::Step,
            guard, host,
            report::{Part, Progress, StepFailure},
        },
        seed::{self, SeedError},
    },
};

use super::{
    Context,
    guest::{Work, release},
};

/// What a step could not do.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error(transparent)]
    Cluster(#[from] crate::cluster::Error),
    #[error("could not {0}: what it needs is not there yet")]
    NotReady(&'static str),
}

impl StepError {
    fn part(&self) -> Part {
        match self {
            Self::Driver(_) => Part::Hypervisor,
            Self::Disk(_) | Self::Seed(_) | Self::NotReady(_) => Part::Disk,
            Self::Cluster(_) => Part::Cluster,
        }
    }
}

/// Does the steps in their order and stops at the first that fails.
pub(super) async fn act<D: Driver>(ctx: &Context<D>, work: &Work, steps: &[Step]) -> Progress {
    let mut progress = Progress::default();
    for step in steps {
        match take(ctx, work, *step).await {
            Ok(()) => progress.done.push(*step),
            Err(error) => {
                let message = telemetry::chain(&error);
                tracing::warn!(?step, error = message, "a step failed");
                let hopeless = matches!(
                    &error,
                    StepError::Driver(DriverError {
                        kind: Failure::GiveUp,
                        ..
                    })
                );
                progress.failure = Some(StepFailure {
                    step: *step,
                    part: error.part(),
                    hopeless,
                    message,
                });
                break;
            }
        }
    }
    let secured: BTreeSet<PortId> = guard::secured(&work.guest).map(|(port, _)| port).collect();
    let plugged = |step: &Step| matches!(step, Step::Start | Step::Restart | Step::Plug(_));
    progress.guarded = if progress.failure.is_none() && progress.done.iter().any(plugged) {
        ctx.switch.guard().settled(&secured).await
    } else {
        ctx.switch.guard().standing()
    };
    if progress.failure.is_some() && !work.guest.spec.nics.is_empty() {
        progress.switch = host::trouble(&ctx.switch.look().await, &ctx.node);
    }
    progress
}

async fn take<D: Driver>(ctx: &Context<D>, work: &Work, step: Step) -> Result<(), StepError> {
    let (driver, id) = (&ctx.driver, work.id);
    tracing::info!(guest = %id, server = %work.server(), ?step, "doing");
    match step {
        Step::MakeDisk => make_disk(work).await?,
        Step::WriteSeed => {
            let documents = work
                .documents
                .as_ref()
                .ok_or(StepError::NotReady("write the seed"))?;
            seed::write(&work.folder, documents).await?;
        }
        Step::Define => {
            let definition = work.definition.as_ref();
            let Ok((_, xml)) = definition else {
                return Err(StepError::NotReady("define the domain"));
            };
            driver.define(id, xml).await?;
            // Nobody needs it today, and a guest must not wait for it.
            if let Err(error) = work.folder.keep_definition(xml).await {
                tracing::warn!(
                    error = telemetry::chain(&error),
                    "the definition is not kept beside the disk"
                );
            }
        }
        Step::Start | Step::Restart => driver.start(id).await?,
        Step::AskShutdown => driver.ask_shutdown(id).await?,
        Step::Destroy => driver.destroy(id).await?,
        Step::Pause => driver.pause(id).await?,
        Step::Resume | Step::Revive => driver.resume(id).await?,
        Step::Suspend => driver.suspend_to_disk(id).await?,
        Step::Reset => driver.reset(id).await?,
        Step::Nmi => driver.nmi(id).await?,
        Step::Plug(port) => {
            let nic = work.nic(port);
            let nic = nic.ok_or(StepError::NotReady("plug a NIC in"))?;
            driver.plug(id, nic, ctx.switch.datapath()).await?;
        }
        Step::Unplug(port) => driver.unplug(id, port).await?,
        Step::DiscardSaved => driver.discard_saved(id).await?,
        Step::Undefine => driver.undefine(id, Leftovers::Remove).await?,
        Step::RemoveFiles => work.folder.remove().await?,
        Step::Release => release(ctx, &work.guest).await?,
    }
    Ok(())
}

async fn make_disk(work: &Work) -> Result<(), StepError> {
    let Some(Presence::Ready { path, .. }) = &work.files.image else {
        return Err(StepError::NotReady("make the root disk"));
    };
    let disk = &work.guest.spec.root_disk;
    work.folder
        .create_root_disk(path, disk.image.format, disk.size)
        .await?;
    Ok(())
}

impl Work {
    fn nic(&self, port: PortId) -> Option<&Nic> {
        let mut nics = self.guest.spec.nics.iter();
        nics.find(|nic| nic.port.parse() == Ok(port))
    }

    /// The server that this is, for logs: `project/name`.
    fn server(&self) -> String {
        let server = &self.guest.spec.server;
        format!("{}/{}", server.namespace, server.name)
    }
}
