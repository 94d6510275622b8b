//! The leader dies by SIGKILL while many servers are being made: another takes over in time, and makes each once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kilonova::api::guest::Guest;
use kilonova::api::hypervisor::Hypervisor;
use kilonova::api::node_namespace;
use kilonova::api::server::{Server, ServerState};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use testbed::{SYSTEM_NAMESPACE, Seen, Testbed, wait_for};

use crate::shared::{BOOT, GuestOnNode, Project, SOON};

use super::turn;

const SERVERS: usize = 20;
/// Two small machines have fewer threads than there are servers.
const CPU_PERCENT: u32 = 10_000;
/// What was promised: a standby leads so soon.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_leader_that_is_killed_among_twenty_new_servers_costs_none() -> Result<()> {
    let (_turn, project) = turn().await?;
    promise(&project, Some(CPU_PERCENT)).await?;
    let kept = twenty_through_a_failover(&project).await;
    promise(&project, None).await?;
    kept
}

async fn twenty_through_a_failover(project: &Project<'_>) -> Result<()> {
    let testbed = project.testbed;
    let names: Vec<String> = (0..SERVERS).map(|number| format!("web-{number}")).collect();
    try_join_all(names.iter().map(|name| project.make(name, |_| {}))).await?;
    wait_in_the_midst(project).await?;
    let term = terms(testbed).await?;
    let leader = testbed.operator_pods().await?.into_iter().next();
    leader.context("nobody leads")?.kill9().await?;
    let killed = Instant::now();
    wait_for("another one to lead", SOON, async || {
        let now = terms(testbed).await?;
        Ok(Seen::when(now > term, format!("term {now}")))
    })
    .await?;
    let took = killed.elapsed();
    eprintln!(
        "a standby led {:.1} s after the leader was killed",
        took.as_secs_f64()
    );
    ensure!(took <= TAKEN_OVER_MAX, "it took {took:?}");

    let mut uids = BTreeSet::new();
    for name in &names {
        let made = |server: &Server| {
            server.status.as_ref().and_then(|status| status.state) == Some(ServerState::Active)
        };
        let server = project.wait(name, "to run", BOOT, made).await?;
        uids.insert(server.uid().context("no UID")?);
        let status = server.status.context("no status")?;
        assert_eq!(
            (status.epoch, status.restarts),
            (Some(1), Some(0)),
            "{name}"
        );
    }
    each_once(project, &uids).await?;
    try_join_all(names.iter().map(|name| project.delete(name))).await?;
    Ok(())
}

/// Sets what the nodes promise of their processors, or takes it back.
async fn promise(project: &Project<'_>, cpu_percent: Option<u32>) -> Result<()> {
    let hypervisors: Api<Hypervisor> = Api::all(project.client.clone());
    let overcommit =
        Patch::Merge(json!({ "spec": { "overcommit": { "cpuPercent": cpu_percent } } }));
    for node in project.testbed.nodes()? {
        hypervisors
            .patch(node.name(), &PatchParams::default(), &overcommit)
            .await?;
    }
    Ok(())
}

/// Some servers have a node, and some have none.
async fn wait_in_the_midst(project: &Project<'_>) -> Result<()> {
    let servers = project.api::<Server>();
    wait_for("the operator to be in the midst of it", SOON, async || {
        let all = servers.list(&ListParams::default()).await?;
        let bound = all
            .iter()
            .filter(|server| GuestOnNode::of(project.testbed, server).is_ok());
        Ok(Seen::when(bound.count() > 0, "no server has a node"))
    })
    .await
}

/// How often the lead has changed hands.
async fn terms(testbed: &Testbed) -> Result<i32> {
    let leases: Api<Lease> = Api::namespaced(testbed.client().await?, SYSTEM_NAMESPACE);
    let lease = leases.get("kilonova-operator").await?;
    let terms = lease.spec.and_then(|spec| spec.lease_transitions);
    terms.context("the Lease counts no terms")
}

/// Each server has one domain and one `Guest` among all nodes.
async fn each_once(project: &Project<'_>, uids: &BTreeSet<String>) -> Result<()> {
    let mut domains = Vec::new();
    let mut guests = Vec::new();
    for node in project.testbed.nodes()? {
        let list = node.exec(["virsh", "list", "--all", "--uuid"]).await?;
        domains.extend(list.split_whitespace().map(str::to_owned));
        let objects: Api<Guest> =
            Api::namespaced(project.client.clone(), &node_namespace(node.name()));
        let objects = objects.list(&ListParams::default()).await?;
        guests.extend(objects.iter().map(ResourceExt::name_any));
    }
    for (what, mut found) in [("domains", domains), ("Guests", guests)] {
        found.retain(|uid| uids.contains(uid));
        ensure!(found.len() == uids.len(), "{what}: {found:?}");
    }
    Ok(())
}
