//! From the command line to a running role.
//!
//! Parses, starts logs, builds what the role works with, and runs it until it is told to stop. It must never hold
//! logic of its own.

use std::{io, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::{Client, Config};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{error, info};

use crate::cluster::{metrics::RequestMetrics, request, telemetry};

use settings::LogSettings;

#[cfg(feature = "libvirt")]
mod agent;
mod check;
mod crds;
mod login;
mod metadata;
mod metrics;
mod operator;
mod ovn;
mod pki;
mod settings;
mod values;

/// OpenStack-style infrastructure as a service inside Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "kilonova", version)]
pub struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Runs every controller and the scheduler; one at a time, by Lease.
    Operator(operator::OperatorArguments),
    /// Makes this node's libvirt agree with its guests.
    #[cfg(feature = "libvirt")]
    Agent(agent::AgentArguments),
    /// Tells this node's guests of themselves, at 169.254.169.254.
    Metadata(metadata::MetadataArguments),
    /// Runs one program of OVN's central side, as a member of a cluster.
    Ovn(ovn::OvnArguments),
    /// Prints the custom resource definitions, or writes one file for each kind.
    Crds(crds::CrdsArguments),
    /// Prints a page of everything that operators and agents tell Prometheus.
    Metrics,
    /// Asks the cluster whether Kilonova works: its kinds, its leader, its hypervisors.
    Check(check::CheckArguments),
    /// Prints the schema of the Helm chart's values, or writes everything in the chart that follows from it.
    ValuesSchema(values::ValuesSchemaArguments),
}

/// Runs what was asked for; the exit code says how it ended.
pub fn run(arguments: Arguments) -> ExitCode {
    // Two TLS providers may be in the tree one day; the process must have chosen before the first handshake.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        return fail(
            "the TLS provider was chosen already: this is a fault of this program, please report it",
        );
    }
    let done = |()| ExitCode::SUCCESS;
    let result = match arguments.role {
        Role::Operator(role) => {
            start_logs(&role.settings.logs);
            in_runtime(operator::run(role)).map(done)
        }
        #[cfg(feature = "libvirt")]
        Role::Agent(role) => {
            start_logs(&role.settings.logs);
            in_runtime(agent::run(role)).map(done)
        }
        Role::Metadata(role) => {
            start_logs(&role.settings.logs);
            metadata::prepare()
                .and_then(|network| in_runtime(metadata::run(role, network)))
                .map(done)
        }
        Role::Ovn(role) => {
            start_logs(&role.logs);
            in_runtime(ovn::run(role)).map(done)
        }
        Role::Metrics => metrics::run(&mut io::stdout().lock()).map(done),
        Role::Crds(role) => crds::run(&role, &mut io::stdout().lock()).map(done),
        Role::Check(role) => in_runtime(check::run(role, &mut io::stdout())),
        Role::ValuesSchema(role) => values::run(&role, &mut io::stdout().lock()).map(done),
    };
    match result {
        Ok(code) => code,
        Err(failure) => fail(&format!("{failure:#}")),
    }
}

/// Says why the process ends: in the log, or where there is none (yet) or it leaves errors out, beside it.
fn fail(why: &str) -> ExitCode {
    if tracing::enabled!(tracing::Level::ERROR) {
        error!("{why}");
    } else {
        // There is nobody left to tell if this fails.
        let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("kilonova: {why}\n"));
    }
    ExitCode::FAILURE
}

fn start_logs(logs: &LogSettings) {
    telemetry::start(logs.log_format, &logs.log_filter);
}

fn in_runtime<T>(role: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(role)
}

/// A client for the cluster that the environment names: `KUBECONFIG`, or the pod's own account.
async fn client(metrics: &RequestMetrics) -> anyhow::Result<Client> {
    request::client(config().await?, metrics).context(NO_CLIENT)
}

/// What went wrong when there is a configuration but no client of it.
const NO_CLIENT: &str = "cannot make a client of this cluster: is KUBECONFIG whole?";

async fn config() -> anyhow::Result<Config> {
    Config::infer()
        .await
        .context("cannot tell which cluster to speak to: set KUBECONFIG, or run in a pod")
}

/// Says true once the process is asked to end.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("asked to stop: finishing what is under way");
        sender.send_replace(true);
    });
    Ok(receiver)
}
