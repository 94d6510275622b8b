//! `kilonova operator`: warms its caches, waits for its turn, runs every controller for as long as it leads.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    cluster::{
        Writer,
        election::Election,
        metrics::{self, CacheMetrics, ControllerMetrics, Registry, RequestMetrics},
        probe,
        reporter::Reporter,
    },
    compute::{
        controller::{self, Caches, MANAGER, census::Census},
        metrics::{SchedulerMetrics, ServerMetrics},
        plan::hypervisor::{PodAccount, PodAccounts},
        scheduler::Scheduler,
    },
    network::{
        self,
        metrics::{NetworkMetrics, NorthboundMetrics},
        observer::{Observer, ObserverSettings},
        realiser::{Realiser, RealiserSettings},
    },
    ovsdb::{Endpoint, Tls},
};

use super::{
    pki::{self, PkiArguments},
    settings::{OperatorSettings, endpoints_of},
};

/// The Lease that the leader holds.
pub(super) const LEASE: &str = "kilonova-operator";

/// How the operator runs.
#[derive(Debug, clap::Args)]
pub struct OperatorArguments {
    #[command(flatten)]
    pub(super) settings: OperatorSettings,
    /// Where to serve /metrics, /healthz and /readyz.
    #[arg(long, env = "KILONOVA_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The namespace of the Lease by which operators agree on who acts.
    #[arg(long, env = "KILONOVA_NAMESPACE", default_value = "kilonova-system")]
    namespace: String,
    /// This operator's name in that election; must differ from every other's. Default: host name and process id.
    #[arg(long, env = "KILONOVA_IDENTITY")]
    identity: Option<String>,
    /// The `ServiceAccount` of the agents' pods, in the operator's own namespace: lets it have tokens of the accounts of
    /// their nodes, by the `ClusterRole` of the same name. Default: agents do not run in pods.
    #[arg(long, env = "KILONOVA_AGENT_ACCOUNT")]
    agent_account: Option<String>,
    /// A folder with `ca.crt`, `tls.crt` and `tls.key`, as in a Secret of type `kubernetes.io/tls`: by which OVN's database and
    /// the operator know each other. Needed for `ssl:` endpoints.
    #[arg(long, env = "KILONOVA_OVN_CERTIFICATES")]
    ovn_certificates: Option<PathBuf>,
    /// The same of the pods of metadata services.
    #[arg(long, env = "KILONOVA_METADATA_ACCOUNT")]
    metadata_account: Option<String>,
    /// Where OVN's southbound database is: `ssl:HOST:PORT`, `tcp:HOST:PORT` or `unix:PATH`, several with commas between
    /// them. It is only read: for where routers' gateways are, and which members of load balancers answer. With --ovn-pki nodes
    /// are told of it, too; names are resolved here then, since nodes know none of the cluster's.
    #[arg(long, env = "KILONOVA_OVN_SOUTHBOUND", value_delimiter = ',')]
    ovn_southbound: Vec<Endpoint>,
    #[command(flatten)]
    pki: PkiArguments,
}

/// Everything that an operator tells Prometheus.
pub(super) struct Metrics {
    pub(super) registry: Registry,
    requests: RequestMetrics,
    controllers: ControllerMetrics,
    caches: CacheMetrics,
    scheduler: SchedulerMetrics,
    servers: ServerMetrics,
    networks: NetworkMetrics,
    northbound: NorthboundMetrics,
    census: Census,
}

impl Metrics {
    /// Registers all of it.
    pub(super) fn new() -> Self {
        let mut registry = metrics::registry();
        Self {
            requests: RequestMetrics::new(&mut registry),
            controllers: ControllerMetrics::new(&mut registry),
            caches: CacheMetrics::new(&mut registry),
            scheduler: SchedulerMetrics::new(&mut registry),
            servers: ServerMetrics::new(&mut registry),
            networks: NetworkMetrics::new(&mut registry),
            northbound: NorthboundMetrics::new(&mut registry),
            census: Census::new(&mut registry),
            registry,
        }
    }
}

/// Where OVN's databases are, each of them if anybody said so.
struct Ovn {
    northbound: Option<RealiserSettings>,
    southbound: Option<ObserverSettings>,
}

impl Ovn {
    fn new(
        northbound: Vec<Endpoint>,
        southbound: Vec<Endpoint>,
        tls: Option<Tls>,
        metrics: NorthboundMetrics,
    ) -> Self {
        Self {
            southbound: (!southbound.is_empty()).then(|| ObserverSettings {
                endpoints: southbound,
                tls: tls.clone(),
            }),
            northbound: (!northbound.is_empty()).then_some(RealiserSettings {
                endpoints: northbound,
                tls,
                metrics,
            }),
        }
    }

    /// Begins the sessions of one lead.
    fn start(&self) -> (Option<Realiser>, Option<Observer>) {
        (
            self.northbound.clone().map(Realiser::start),
            self.southbound.clone().map(Observer::start),
        )
    }
}

/// Runs until it is asked to stop.
pub async fn run(arguments: OperatorArguments) -> anyhow::Result<()> {
    let OperatorArguments {
        settings:
            OperatorSettings {
                logs: _,
                ovn_northbound,
                tenant_mtu,
            },
        listen,
        namespace,
        identity,
        agent_account,
        metadata_account,
        ovn_certificates,
        ovn_southbound,
        pki,
    } = arguments;
    let endpoints = endpoints_of(&ovn_northbound)?;
    let tls = ovn_certificates.as_deref().map(Tls::in_folder);
    let southbound = ovn_southbound.clone();
    let pki = pki.settings(&namespace, ovn_certificates, ovn_southbound);
    let pod_account = |name| PodAccount {
        name,
        namespace: namespace.clone(),
    };
    let pod_accounts = PodAccounts {
        agent: agent_account.map(pod_account),
        metadata: metadata_account.map(pod_account),
    };
    let identity = identity.unwrap_or_else(default_identity);
    let metrics = Metrics::new();
    let ovn = Ovn::new(endpoints, southbound, tls, metrics.northbound.clone());
    let client = super::client(&metrics.requests).await?;
    let (ready, readiness) = watch::channel(Some("reading the cluster's state".to_owned()));
    let mut page = tokio::spawn(probe::serve(listen, metrics.registry, vec![readiness]));

    let work = async {
        let mut stop = super::stop_signal()?;
        let (caches, networks) = tokio::select! {
            caches = start_caches(&client) => caches,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        caches.measure(&metrics.caches);
        networks.measure(&metrics.caches);
        // A standby is ready: it can take over at any time.
        ready.send_replace(None);
        let reporter = Reporter::new(client.clone(), MANAGER, identity.clone());
        let mut election = Election::new(client.clone(), &namespace, LEASE, &identity);
        info!(identity, "taking part in the election");
        loop {
            tokio::select! {
                () = election.turn() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            info!(identity, "leading: the controllers start");
            // Nothing that an earlier lead knew is taken for true.
            let context = Arc::new(controller::Context {
                caches: caches.clone(),
                writer: Writer::new(client.clone(), MANAGER),
                reporter: reporter.clone(),
                scheduler: Arc::new(Scheduler::new(metrics.scheduler.clone())),
                ports: controller::ports::Ports::default(),
                heartbeats: controller::heartbeat::Heartbeats::default(),
                pod_accounts: pod_accounts.clone(),
                metrics: metrics.servers.clone(),
            });
            let _lead = metrics.census.lead(Arc::clone(&context));
            // The session with OVN's database is a lead's, too: it ends with the context that has it.
            let network = Arc::new(network::controller::Context::new(
                networks.clone(),
                Writer::new(client.clone(), MANAGER),
                reporter.clone(),
                ovn.start(),
                tenant_mtu,
                metrics.networks.clone(),
            ));
            let writer = context.writer.clone();
            let controllers = async {
                tokio::join!(
                    controller::run::all(context, metrics.controllers.clone(), stop.clone()),
                    network::controller::run::all(
                        network,
                        metrics.controllers.clone(),
                        stop.clone()
                    ),
                    pki::keep(pki.clone(), writer, &caches, stop.clone()),
                )
            };
            tokio::select! {
                ((), (), ()) = Box::pin(controllers) => break,
                // Whoever has lost the lead must not write again: the controllers end where they are.
                lost = election.lead() => {
                    warn!(identity, %lost, "leading no longer: the controllers end, and this operator stands by");
                }
            }
        }
        election.leave().await;
        Ok(())
    };
    tokio::select! {
        result = work => result,
        served = &mut page => Ok(served??),
    }
}

/// Starts every watch; returns once every copy is complete.
async fn start_caches(client: &kube::Client) -> (Caches, network::controller::Caches) {
    let caches = Caches::start(client).await;
    let (servers, hypervisors) = (Arc::clone(&caches.servers), Arc::clone(&caches.hypervisors));
    let networks = network::controller::Caches::start(client, servers, hypervisors).await;
    (caches, networks)
}

fn default_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}
