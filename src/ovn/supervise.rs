//! Starts one program of OVN's and stays above it: says whether it can be used, does what its cluster needs, and ends it as
//! it wants to be ended.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    process::{Child, Command},
    sync::watch,
    time,
};
use tracing::{info, warn};

use crate::cluster::{metrics::Registry, telemetry};

use super::{
    connections, control, founding,
    member::{Database, Member},
    plan,
};

/// How often it is looked how the program stands.
const EVERY: Duration = Duration::from_secs(1);

/// How long a program may take to end: a leader hands the lead over first.
const END_MAX: Duration = Duration::from_secs(15);

/// After how many looks a leader makes sure again that its database says where it is served.
const LOOKS_BETWEEN: u32 = 60;

/// OVN's programs keep everything in small pieces of memory, and spend a quarter to a half of their time in glibc's
/// allocator; with this one a change takes them little more than half as long. Where it is missing, the loader says so in
/// the log and takes glibc's.
const ALLOCATOR: &str = "libjemalloc.so.2";

/// What ovn-northd's socket is called.
const NORTHD: &str = "northd";

/// What Prometheus is told.
#[derive(Clone)]
pub struct OvnMetrics {
    leads: Gauge,
    ready: Gauge,
}

impl OvnMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            leads: Gauge::default(),
            ready: Gauge::default(),
        };
        registry.register(
            "ovn_leader",
            "Whether this member leads its database's cluster, or this ovn-northd is the active one",
            &metrics.leads,
        );
        registry.register(
            "ovn_ready",
            "Whether this program of OVN can be used: for a database, a member of a cluster that has a leader",
            &metrics.ready,
        );
        metrics
    }

    fn tell(&self, leads: bool, trouble: Option<&str>) {
        self.leads.set(i64::from(leads));
        self.ready.set(i64::from(trouble.is_none()));
    }
}

/// Who is told how the program stands.
pub struct Told {
    /// Why it cannot be used, for probes.
    pub ready: watch::Sender<Option<String>>,
    /// Prometheus.
    pub metrics: OvnMetrics,
    /// Whether to stop.
    pub stop: watch::Receiver<bool>,
}

impl Told {
    fn stands(&self, leads: bool, trouble: Option<String>) {
        self.metrics.tell(leads, trouble.as_deref());
        self.ready.send_if_modified(|said| {
            let is_news = *said != trouble;
            if is_news {
                if let Some(why) = &trouble {
                    warn!("not ready: {why}");
                } else {
                    info!("ready");
                }
                *said = trouble;
            }
            is_news
        });
    }
}

/// Runs a database's server until it is asked to stop. `port` is where other members say whether they have one.
pub async fn database(
    member: &Member,
    database: Database,
    port: u16,
    mut told: Told,
) -> anyhow::Result<()> {
    let mut stop = told.stop.clone();
    tokio::select! {
        founded = founding::found(member, database, port, &told.ready) => founded?,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    }
    let arguments = plan::server_arguments(member, database);
    let mut child = start("ovsdb-server", &arguments)?;
    let socket = member.control_socket(database.word());
    let mut looks = 0;
    loop {
        tokio::select! {
            ended = child.wait() => bail!("ovsdb-server has ended: {}", ended?),
            _ = told.stop.wait_for(|stop| *stop) => break,
            () = time::sleep(EVERY) => {}
        }
        let status = match control::ask(&socket, "cluster/status", &[database.name()]).await {
            Ok(text) => plan::status(&text),
            Err(error) => {
                told.stands(false, Some(telemetry::chain(&error)));
                continue;
            }
        };
        told.stands(status.leads, status.trouble().map(str::to_owned));
        if !status.leads {
            looks = 0;
            continue;
        }
        for server in plan::gone(&status) {
            warn!(
                server,
                "a member that lost its database is put out: it has joined anew"
            );
            let kicked = control::ask(&socket, "cluster/kick", &[database.name(), &server]).await;
            if let Err(error) = kicked {
                warn!(
                    server,
                    error = telemetry::chain(&error),
                    "that failed; it is tried again"
                );
            }
        }
        if looks == 0 {
            match connections::ensure(database, member.socket(database)).await {
                Ok(true) => info!(port = database.port(), "the database is served to clients"),
                Ok(false) => {}
                Err(why) => {
                    warn!("the database cannot be told where to listen: {why}; it is tried again");
                    continue;
                }
            }
        }
        looks = (looks + 1) % LOOKS_BETWEEN;
    }
    end(&mut child, &socket).await
}

/// Runs ovn-northd until it is asked to stop.
pub async fn northd(member: &Member, mut told: Told) -> anyhow::Result<()> {
    let mut child = start("ovn-northd", &plan::northd_arguments(member, NORTHD))?;
    let socket = member.control_socket(NORTHD);
    loop {
        tokio::select! {
            ended = child.wait() => bail!("ovn-northd has ended: {}", ended?),
            _ = told.stop.wait_for(|stop| *stop) => break,
            () = time::sleep(EVERY) => {}
        }
        match control::ask(&socket, "status", &[]).await {
            Ok(status) => told.stands(status.contains("active"), None),
            Err(error) => told.stands(false, Some(telemetry::chain(&error))),
        }
    }
    end(&mut child, &socket).await
}

fn start(program: &str, arguments: &[String]) -> anyhow::Result<Child> {
    info!(program, "it starts");
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", ALLOCATOR);
    let started = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
    started.with_context(|| format!("failed to start {program}"))
}

/// Lets the program end by itself: one that is killed leaves its cluster without a leader until that is noticed.
async fn end(child: &mut Child, socket: &std::path::Path) -> anyhow::Result<()> {
    if let Err(error) = control::ask(socket, "exit", &[]).await {
        warn!(
            error = telemetry::chain(&error),
            "it cannot be asked to end"
        );
    }
    if time::timeout(END_MAX, child.wait()).await.is_err() {
        warn!("it does not end, and is killed");
        child.kill().await?;
    }
    Ok(())
}
