//! What the agent knows of its host: what libvirt said of it, and which `Hypervisor` it serves. What the operator is
//! told of it is in [`report`].

use std::{path::PathBuf, sync::Arc, time::Duration};

use kube::{Api, ResourceExt};
use tokio::{
    sync::{Mutex, RwLock},
    time::Instant,
};

use crate::{
    api::hypervisor::{Hypervisor, VirtType},
    cluster::{Result, request::in_time, telemetry},
    node::{
        driver::{Driver, DriverError},
        plan::capabilities::HostFacts,
    },
};

use super::Context;

mod look;
pub mod report;
pub mod switch;
#[cfg(test)]
mod tests;

/// Where what is of the host, as the agent sees it: from a pod, that need not be where the host itself sees it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where images, disks and seeds are. libvirt must see it at the same path.
    pub state_dir: PathBuf,
    /// The host's devices.
    pub host_dev: PathBuf,
    /// Open vSwitch's socket.
    pub open_vswitch: PathBuf,
    /// Where libvirt is.
    pub libvirt_uri: String,
    /// How guests shall run, if not as fast as they can.
    pub virt_type: Option<VirtType>,
}

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
        let asked = asked.map_err(|error| telemetry::chain(&error));
        *failed = asked
            .as_ref()
            .err()
            .map(|why| (Instant::now(), why.clone()));
        asked
    }

    async fn ask<D: Driver>(&self, driver: &D) -> std::result::Result<Arc<HostFacts>, DriverError> {
        let facts = driver.host().await.map(Arc::new)?;
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
