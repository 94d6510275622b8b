//! Tells the operator what this host is: capacity, offers, versions, images, and what it lacks.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::{
    api::{
        condition::{self, Truth},
        hypervisor::{Hypervisor, HypervisorStatus},
    },
    cluster::{Result, Writer, request::in_time, telemetry, writer::Claim},
    node::{driver::Driver, images::ImageCache, plan::host},
};

use super::{Context, Host, Site, look, switch::Switch};

/// How often the host is looked at although nothing was announced.
const EVERY: Duration = Duration::from_mins(1);

/// The least time between two reports, so that downloads don't make a stream of writes.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon a report that failed is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// The condition that is the operator's.
const READY: &str = "Ready";

/// What a report is made from: what an agent has before it can do anything else.
pub struct Source<'a, D> {
    /// The node's name.
    pub node: &'a str,
    /// Who writes.
    pub writer: &'a Writer,
    /// The hypervisor.
    pub driver: &'a D,
    /// What it said.
    pub host: &'a Host,
    /// The host's switch.
    pub switch: &'a Switch,
    /// Where what is.
    pub site: &'a Site,
}

/// Reports at the start, whenever `news` says that something changed, and now and then, until `stop` says true.
pub async fn keep_reporting<D: Driver>(
    ctx: Arc<Context<D>>,
    mut news: mpsc::Receiver<()>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let wait = match report(&ctx.source(), Some(&ctx.images), None).await {
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

/// Reports once, unless all of it is said already. Without images while the cache cannot be opened, for the reason that
/// `failure` gives.
pub(in crate::node::controller) async fn report<D: Driver>(
    source: &Source<'_, D>,
    images: Option<&ImageCache>,
    failure: Option<&str>,
) -> Result<()> {
    let api = Api::<Hypervisor>::all(source.writer.client());
    let subject = format!("Hypervisor {}", source.node);
    let hypervisor = in_time("read", subject, api.get(source.node)).await?;
    let before = hypervisor.status.clone().unwrap_or_default();
    let said = source.host.ask(source.driver).await;
    let observed = host::Observed {
        libvirt: look::libvirt(source.site, said.map(|facts| (*facts).clone())).await,
        demanded: source.site.virt_type,
        kvm: look::kvm(source.site),
        storage: look::storage(source.site, failure),
        switch: source.switch.look().await,
        node: source.node.to_owned(),
        // The kernel is the host's, in a container too.
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        images: images.map(ImageCache::list),
    };
    let status = host::report(&before, observed, Timestamp::now());
    if same(&before, &status) {
        return Ok(());
    }
    info!("the host's report has changed");
    tell_of_trouble(&before.conditions, &status.conditions);
    source
        .writer
        .apply_status(&hypervisor, &status, Claim::Shared)
        .await
        .map(drop)
}

/// In the log, too, what was not said before: there is where an administrator of one host looks.
fn tell_of_trouble(before: &[Condition], now: &[Condition]) {
    let holds = |condition: &&Condition| condition.status != Truth::True.as_str();
    for trouble in now.iter().filter(holds) {
        let known = condition::find(before, &trouble.type_);
        if known.is_none_or(|known| known.message != trouble.message) {
            warn!(
                condition = trouble.type_,
                reason = trouble.reason,
                "{}",
                trouble.message
            );
        }
    }
}

/// Whether the agent's part of the status is what it says already: the rest is the operator's. The order of conditions
/// is nobody's.
fn same(before: &HypervisorStatus, ours: &HypervisorStatus) -> bool {
    let others = |status: &HypervisorStatus| {
        let mut conditions = status.conditions.clone();
        conditions.retain(|condition| condition.type_ != READY);
        conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
        HypervisorStatus {
            observed_generation: None,
            conditions,
            ..status.clone()
        }
    };
    others(before) == others(ours)
}
