//! Where Kilonova's programs are, whichever way they were started: as the testbed's own processes, or in pods.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::Client;
use kube::api::{Api, ListParams};

use crate::process::{self, ProcessId};
use crate::testbed::Testbed;

use super::{AGENT, METADATA, OPERATOR, SYSTEM_NAMESPACE, arguments};

/// The Lease that the leading operator holds.
const LEASE: &str = "kilonova-operator";

/// A pod of Kilonova's whose program was started at least once.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// The node that it is on.
    pub node: String,
    /// Where it serves metrics and probes.
    pub address: SocketAddr,
    /// Its one container, the newest one, as containerd names it.
    container: String,
}

impl Pod {
    /// Its program's process.
    pub fn process(&self) -> Result<ProcessId> {
        process::first_of_container(&self.container).with_context(|| {
            format!(
                "pod {} has no process; does node {} run?",
                self.name, self.node
            )
        })
    }

    /// Kills its program (SIGKILL) and waits until it is dead; its kubelet starts it anew.
    pub async fn kill9(&self) -> Result<()> {
        let process = self.process()?;
        process.signal(rustix::process::Signal::KILL)?;
        process.wait_gone(super::READY_DEADLINE).await
    }

    fn of(object: PodObject, port: u16) -> Option<Self> {
        let status = object.status?;
        let id = status
            .container_statuses?
            .into_iter()
            .next()?
            .container_id?;
        Some(Self {
            name: object.metadata.name?,
            node: object.spec?.node_name?,
            address: SocketAddr::new(status.pod_ip?.parse().ok()?, port),
            container: id.rsplit('/').next()?.to_owned(),
        })
    }
}

/// A program that runs, by the name that a testbed without pods gives it.
#[derive(Clone, Debug)]
pub struct Program {
    /// `operator`, `n1/agent`; `operator/standby` for one that does not lead.
    pub name: String,
    /// Its process.
    pub process: ProcessId,
    /// Where it serves metrics and probes.
    pub address: SocketAddr,
}

impl Testbed {
    /// The operators' pods: the leader's first, if there is one.
    pub async fn operator_pods(&self) -> Result<Vec<Pod>> {
        let client = self.client().await?;
        let mut pods = pods(&client, OPERATOR, arguments::OPERATOR_PORT).await?;
        let leases: Api<Lease> = Api::namespaced(client, SYSTEM_NAMESPACE);
        let lease = leases.get_opt(LEASE).await?;
        let leader = lease.and_then(|lease| lease.spec?.holder_identity);
        pods.sort_by_key(|pod| Some(&pod.name) != leader.as_ref());
        Ok(pods)
    }

    /// The pod of a program, by the name that it has as a process: `operator` for the leader, `n1/agent`. `None` where
    /// there are no pods, and for everything else, which is told without asking the API server.
    pub async fn pod(&self, name: &str) -> Result<Option<Pod>> {
        let (first, last) = name.split_once('/').unwrap_or((name, name));
        if (first != OPERATOR && last != AGENT && last != METADATA) || !self.has_pods()? {
            return Ok(None);
        }
        let mut pods = self.pods().await?.into_iter();
        let pod = pods.find_map(|(found, pod)| (found == name).then_some(pod));
        let none =
            || format!("no pod has {name}; `kubectl get pods -n {SYSTEM_NAMESPACE}` tells why");
        pod.map(Some).with_context(none)
    }

    /// The pods of all programs, each by the name that its program has as a process, and `operator/standby` for one that
    /// does not lead. None where there are no pods.
    pub async fn pods(&self) -> Result<Vec<(String, Pod)>> {
        let mut named = Vec::new();
        if !self.has_pods()? {
            return Ok(named);
        }
        for (rank, pod) in self.operator_pods().await?.into_iter().enumerate() {
            let name = match rank {
                0 => OPERATOR.to_owned(),
                _ => format!("{OPERATOR}/standby"),
            };
            named.push((name, pod));
        }
        for pod in self.agent_pods().await? {
            named.push((format!("{}/{AGENT}", pod.node), pod));
        }
        for pod in self.metadata_pods().await? {
            named.push((format!("{}/{METADATA}", pod.node), pod));
        }
        Ok(named)
    }

    /// The agents' pods.
    pub async fn agent_pods(&self) -> Result<Vec<Pod>> {
        pods(&self.client().await?, AGENT, arguments::AGENT_PORT).await
    }

    /// The metadata services' pods.
    pub async fn metadata_pods(&self) -> Result<Vec<Pod>> {
        pods(&self.client().await?, METADATA, arguments::METADATA_PORT).await
    }

    /// Where the operator that leads serves metrics and probes.
    pub async fn operator_address(&self) -> Result<SocketAddr> {
        let programs = self.programs().await?;
        let operator = programs.iter().find(|program| program.name == OPERATOR);
        Ok(operator.context("no operator runs")?.address)
    }

    /// Every operator, agent and metadata service that runs.
    pub async fn programs(&self) -> Result<Vec<Program>> {
        let in_pods = self.pods().await?.into_iter().filter_map(|(name, pod)| {
            Some(Program {
                name,
                process: pod.process().ok()?, // none when it has ended and its kubelet has not said so yet
                address: pod.address,
            })
        });
        let mut programs: Vec<Program> = in_pods.collect();
        if self.has_pods()? {
            return Ok(programs);
        }
        let mut add = |name: &str, address| {
            let process = self.part(name).ok().and_then(|part| part.process());
            programs.extend(process.map(|process| Program {
                name: name.to_owned(),
                process,
                address,
            }));
        };
        add(OPERATOR, super::operator_address(self.slot()));
        for node in self.nodes()? {
            let name = format!("{}/{AGENT}", node.name());
            add(&name, super::agent_address(&node));
            let name = format!("{}/{METADATA}", node.name());
            add(&name, super::metadata_address(&node));
        }
        Ok(programs)
    }
}

async fn pods(client: &Client, component: &str, port: u16) -> Result<Vec<Pod>> {
    let pods: Api<PodObject> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let labels = format!("app.kubernetes.io/name=kilonova,app.kubernetes.io/component={component}");
    let found = pods
        .list(&ListParams::default().labels(&labels))
        .await
        .with_context(|| format!("failed to list the pods of the {component}"))?;
    let mut pods: Vec<Pod> = found
        .into_iter()
        .filter_map(|object| Pod::of(object, port))
        .collect();
    pods.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(pods)
}
