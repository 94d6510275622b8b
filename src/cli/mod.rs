//! From the command line to a running role.
//!
//! Parses, starts logs, builds what the role works with, and runs it until it is told to stop. It must never hold
//! logic of its own.

use std::{io, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use kube::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{error, info};

use crate::cluster::telemetry::{self, LogFormat};

#[cfg(feature = "libvirt")]
mod agent;
mod crds;
mod operator;

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
    /// Prints the custom resource definitions, or writes one file for each kind.
    Crds(crds::CrdsArguments),
}

/// What every long-running role takes.
#[derive(Debug, clap::Args)]
struct Common {
    /// Where to serve /metrics, /healthz and /readyz.
    #[arg(long, env = "KILONOVA_LISTEN", default_value = "0.0.0.0:9100")]
    listen: SocketAddr,
    /// How log lines look.
    #[arg(long, env = "KILONOVA_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

/// Runs what was asked for; the exit code says how it ended.
pub fn run(arguments: Arguments) -> ExitCode {
    // Two TLS providers may be in the tree one day; the process must have chosen before the first handshake.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    let result = match arguments.role {
        Role::Operator(role) => {
            telemetry::start(role.common.log_format);
            in_runtime(operator::run(role))
        }
        #[cfg(feature = "libvirt")]
        Role::Agent(role) => {
            telemetry::start(role.common.log_format);
            in_runtime(agent::run(role))
        }
        Role::Crds(role) => crds::run(&role, &mut io::stdout().lock()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure:#}");
            // Before logs have started, and for people who filter them out.
            let _ =
                io::Write::write_fmt(&mut io::stderr(), format_args!("kilonova: {failure:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(role)
}

/// A client for the cluster that the environment names: `KUBECONFIG`, or the pod's own account.
async fn client() -> anyhow::Result<Client> {
    use anyhow::Context as _;
    Client::try_default()
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
