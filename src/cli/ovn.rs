//! `kilonova ovn`: one program of OVN's central side, as a container of the chart's `StatefulSet`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use axum::{Router, routing::get};
use clap::ValueEnum;
use tokio::sync::watch;

use crate::{
    cluster::{
        metrics::{self, Registry},
        probe,
    },
    ovn::{
        founding,
        member::{Database, Member},
        supervise::{self, OvnMetrics, Told},
    },
};

use super::settings::LogSettings;

/// How one of OVN's programs runs.
#[derive(Debug, clap::Args)]
pub struct OvnArguments {
    #[command(flatten)]
    pub(super) logs: LogSettings,
    /// Which one.
    #[arg(value_enum)]
    program: Program,
    /// Where to serve /metrics, /healthz, /readyz, and to the other members whether there is a database.
    #[arg(long, env = "KILONOVA_LISTEN")]
    listen: SocketAddr,
    /// The names of all members, with commas between them. The first founds the cluster.
    #[arg(
        long,
        env = "KILONOVA_OVN_MEMBERS",
        value_delimiter = ',',
        required = true
    )]
    members: Vec<String>,
    /// This member's name, as far as the first dot; as in the pod's name.
    #[arg(long, env = "KILONOVA_OVN_NAME")]
    name: String,
    /// Where the databases are.
    #[arg(long, env = "KILONOVA_OVN_FOLDER", default_value = "/var/lib/ovn")]
    folder: PathBuf,
    /// Where sockets are.
    #[arg(long, env = "KILONOVA_OVN_RUN_FOLDER", default_value = "/run/ovn")]
    run_folder: PathBuf,
    /// A folder with `ca.crt`, `tls.crt` and `tls.key`.
    #[arg(long, env = "KILONOVA_OVN_CERTIFICATES")]
    certificates: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Program {
    /// A member of the northbound database's cluster.
    Northbound,
    /// A member of the southbound database's cluster.
    Southbound,
    /// ovn-northd, which makes the one from the other.
    Northd,
}

/// Everything that a program of OVN's tells Prometheus.
pub(super) fn registry() -> (Registry, OvnMetrics) {
    let mut registry = metrics::registry();
    let metrics = OvnMetrics::new(&mut registry);
    (registry, metrics)
}

/// Runs until it is asked to stop.
pub async fn run(arguments: OvnArguments) -> anyhow::Result<()> {
    let OvnArguments {
        logs: _,
        program,
        listen,
        members,
        name,
        folder,
        run_folder,
        certificates,
    } = arguments;
    let ordinal = members
        .iter()
        .position(|host| host.split('.').next() == Some(&*name))
        .or_else(|| name.rsplit('-').next()?.parse().ok())
        .with_context(|| format!("--name {name} is none of --members {}", members.join(",")))?;
    let member = Arc::new(Member {
        folder,
        run_folder,
        certificates,
        hosts: members,
        ordinal,
    });
    let (registry, metrics) = registry();
    let (ready, readiness) = watch::channel(Some("it has just started".to_owned()));
    let told = Told {
        ready,
        metrics,
        stop: super::stop_signal()?,
    };
    let database = match program {
        Program::Northbound => Some(Database::Northbound),
        Program::Southbound => Some(Database::Southbound),
        Program::Northd => None,
    };
    let mut more = Router::new();
    if let Some(database) = database {
        let member = Arc::clone(&member);
        let said = async move || founding::said(&member, database);
        more = more.route(founding::PAGE, get(said));
    }
    let mut page = tokio::spawn(probe::serve_more(listen, registry, vec![readiness], more));
    let work = async {
        match database {
            Some(database) => supervise::database(&member, database, listen.port(), told).await,
            None => supervise::northd(&member, told).await,
        }
    };
    tokio::select! {
        result = work => result,
        served = &mut page => Ok(served??),
    }
}
