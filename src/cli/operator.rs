//! `kilonova operator`: warms its caches, waits for its turn, runs every controller.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;
use tracing::info;

use crate::{
    cluster::{
        Writer, election,
        metrics::{self, ControllerMetrics},
        probe,
        reporter::Reporter,
    },
    compute::{
        controller::{self, Caches, MANAGER},
        metrics::SchedulerMetrics,
        scheduler::Scheduler,
    },
};

use super::Common;

/// The Lease that the leader holds.
const LEASE: &str = "kilonova-operator";

/// How the operator runs.
#[derive(Debug, clap::Args)]
pub struct OperatorArguments {
    #[command(flatten)]
    pub(super) common: Common,
    /// The namespace of the Lease by which operators agree on who acts.
    #[arg(long, env = "KILONOVA_NAMESPACE", default_value = "kilonova-system")]
    namespace: String,
    /// This operator's name in that election; must differ from every other's. Default: host name and process id.
    #[arg(long, env = "KILONOVA_IDENTITY")]
    identity: Option<String>,
}

/// Runs until it is asked to stop, or is no longer the leader.
pub async fn run(arguments: OperatorArguments) -> anyhow::Result<()> {
    let OperatorArguments {
        common: Common {
            listen,
            log_format: _,
        },
        namespace,
        identity,
    } = arguments;
    let identity = identity.unwrap_or_else(default_identity);
    let client = super::client().await?;
    let mut registry = metrics::registry();
    let controller_metrics = ControllerMetrics::new(&mut registry);
    let scheduler = Arc::new(Scheduler::new(SchedulerMetrics::new(&mut registry)));
    let (ready, readiness) = watch::channel(Some("reading the cluster's state".to_owned()));
    let mut page = tokio::spawn(probe::serve(listen, registry, readiness));

    let work = async {
        let caches = Caches::start(&client).await;
        // A standby is ready: it can take over at any time.
        ready.send_replace(None);
        let mut stop = super::stop_signal()?;
        let mut leads = election::join(client.clone(), &namespace, LEASE, &identity).await?;
        tokio::select! {
            turn = leads.wait_for(|leads| *leads) => drop(turn.context("the election ended")?),
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        info!(identity, "leading: the controllers start");
        let context = Arc::new(controller::Context {
            caches,
            writer: Writer::new(client.clone(), MANAGER),
            reporter: Reporter::new(client.clone(), MANAGER, identity.clone()),
            scheduler,
            heartbeats: controller::heartbeat::Heartbeats::default(),
        });
        tokio::select! {
            () = controller::run::all(context, controller_metrics, stop) => Ok(()),
            // Whoever has lost the lease must not write again: the process ends, and starts over as a standby.
            _ = leads.wait_for(|leads| !*leads) => anyhow::bail!("another operator leads now"),
        }
    };
    tokio::select! {
        result = work => result,
        served = &mut page => Ok(served??),
    }
}

fn default_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}
