//! Where servers go: refusals that say what each filter refused, room that is taken as soon as it appears, and a last
//! slot that is given away once. Servers here are off: what counts is their claim.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Node;
use kilonova::api::condition;
use kilonova::api::hypervisor::Hypervisor;
use kilonova::api::server::{Placement, PowerState, Server, ServerState};
use kilonova::api::value::Size;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{Seen, Testbed, wait_for};
use tokio::sync::{Mutex, MutexGuard};

use crate::shared::{OwnTestbed, Project, SOON, page_of, stays};

/// How many servers race.
const RACERS: usize = 8;
/// How long nothing must happen to be believed.
const QUIET: Duration = Duration::from_secs(3);

/// One node, for tests that make it small. One test at a time.
static NODE: OwnTestbed = OwnTestbed::new("sched", 1);
static TURN: Mutex<()> = Mutex::const_new(());

/// A project on a node with room for two virtual CPUs.
async fn small_node() -> Result<(MutexGuard<'static, ()>, Project<'static>)> {
    let turn = TURN.lock().await;
    let project = Project::on(NODE.get().await?).await?;
    let hypervisors: Api<Hypervisor> = Api::all(project.client.clone());
    let node = wait_for("the hypervisor to report", SOON, async || {
        let found = hypervisors.get_opt("n1").await?;
        let vcpus = found.and_then(|found| Some(found.status?.capacity?.vcpus));
        Ok(vcpus.map_or(Seen::NotYet("no capacity".to_owned()), Seen::Wanted))
    });
    let percent = 200_u32.div_ceil(node.await?.into());
    let spec = json!({"schedulable": true, "overcommit": {"cpuPercent": percent}});
    change(&project, spec).await?;
    Ok((turn, project))
}

/// Changes the administrator's part of the hypervisor, and waits until the operator has seen it.
async fn change(project: &Project<'_>, spec: Value) -> Result<()> {
    let hypervisors: Api<Hypervisor> = Api::all(project.client.clone());
    let patch = Patch::Merge(json!({ "spec": spec }));
    let changed = hypervisors
        .patch("n1", &PatchParams::default(), &patch)
        .await?;
    let generation = changed.metadata.generation;
    wait_for("the operator to see the change", SOON, async || {
        let status = hypervisors.get("n1").await?.status.unwrap_or_default();
        let ready = condition::find(&status.conditions, "Ready");
        let seen = ready.is_some_and(|ready| ready.observed_generation == generation);
        Ok(Seen::when(seen, format!("{ready:?}")))
    })
    .await
}

/// Makes a server that is off, of the flavor with two virtual CPUs: the whole node.
async fn make_whole(project: &Project<'_>, name: &str) -> Result<Server> {
    project
        .make(name, |spec| {
            spec.flavor = whole(project);
            spec.power_state = PowerState::Stopped;
        })
        .await
}

fn whole(project: &Project<'_>) -> String {
    format!("{}-whole", project.name)
}

async fn make_whole_flavor(project: &Project<'_>) -> Result<()> {
    project
        .flavor(&whole(project), |spec| spec.vcpus = 2)
        .await?;
    Ok(())
}

fn is_bound(server: &Server) -> bool {
    server
        .status
        .as_ref()
        .is_some_and(|status| status.node.is_some())
}

#[tokio::test]
async fn a_server_without_room_says_why_and_is_placed_when_room_appears() -> Result<()> {
    let (_turn, project) = small_node().await?;
    make_whole_flavor(&project).await?;
    make_whole(&project, "first").await?;
    project.wait_state("first", ServerState::Shutoff).await?;
    make_whole(&project, "second").await?;
    let words = [
        "no hypervisor can take it",
        "the only one has fewer than the 2 vCPUs it needs",
        "none is free",
    ];
    let server = project
        .wait_words("second", "Scheduled", false, &words)
        .await?;
    project.wait_words("second", "Ready", false, &words).await?;
    assert_eq!(
        server.status.context("no status")?.state,
        Some(ServerState::Build)
    );
    project.delete("first").await?;
    project.wait_state("second", ServerState::Shutoff).await?;
    project.delete("second").await?;

    change(&project, json!({"schedulable": false})).await?;
    make_whole(&project, "third").await?;
    project
        .wait_words(
            "third",
            "Scheduled",
            false,
            &["the only one is not schedulable"],
        )
        .await?;
    change(&project, json!({"schedulable": true})).await?;
    project.wait_state("third", ServerState::Shutoff).await?;

    // More is promised: room without anybody leaving.
    make_whole(&project, "fourth").await?;
    project
        .wait_words("fourth", "Scheduled", false, &["vCPUs it needs"])
        .await?;
    change(&project, json!({"overcommit": {"cpuPercent": 1000}})).await?;
    project.wait_state("fourth", ServerState::Shutoff).await?;
    for name in ["third", "fourth"] {
        project.delete(name).await?;
    }
    project.delete_flavor(&whole(&project)).await
}

#[tokio::test]
async fn a_server_goes_only_where_its_node_selector_says() -> Result<()> {
    let (_turn, project) = small_node().await?;
    let label = format!("disk-{}", project.name);
    let node_selector = BTreeMap::from([(label.clone(), "ssd".to_owned())]);
    project
        .make("picky", |spec| {
            spec.placement = Some(Placement { node_selector });
            spec.power_state = PowerState::Stopped;
        })
        .await?;
    let words = format!("does not match its node selector ({label}=ssd)");
    project
        .wait_words("picky", "Scheduled", false, &[&words])
        .await?;
    let nodes: Api<Node> = Api::all(project.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {label: "ssd"}}}));
    nodes.patch("n1", &PatchParams::default(), &patch).await?;
    project.wait_state("picky", ServerState::Shutoff).await?;
    project.delete("picky").await
}

#[tokio::test]
async fn a_refusal_counts_the_hypervisors_of_each_filter() -> Result<()> {
    let project = Project::shared().await?;
    let huge = format!("{}-huge", project.name);
    project
        .flavor(&huge, |spec| spec.memory = Size::gib(4096))
        .await?;
    let on = |node: &str| {
        let node_selector =
            BTreeMap::from([("kubernetes.io/hostname".to_owned(), node.to_owned())]);
        Some(Placement { node_selector })
    };
    project
        .make("both", |spec| spec.flavor.clone_from(&huge))
        .await?;
    project
        .make("each", |spec| {
            spec.flavor.clone_from(&huge);
            spec.placement = on("n1");
        })
        .await?;
    project
        .make("nowhere", |spec| spec.placement = on("n9"))
        .await?;
    for (name, words) in [
        (
            "both",
            [
                "of 2, ",
                "2 have less than the 4Ti of memory it needs (the most that one server may have: ",
            ],
        ),
        (
            "each",
            [
                "1 does not match its node selector (kubernetes.io/hostname=n1)",
                "1 has less than the 4Ti of memory",
            ],
        ),
        (
            "nowhere",
            [
                "of 2, ",
                "2 do not match its node selector (kubernetes.io/hostname=n9)",
            ],
        ),
    ] {
        project.wait_words(name, "Scheduled", false, &words).await?;
    }
    for node in ["n1", "n2"] {
        project
            .make(node, |spec| {
                spec.placement = on(node);
                spec.power_state = PowerState::Stopped;
            })
            .await?;
        let server = project.wait_state(node, ServerState::Shutoff).await?;
        assert_eq!(
            server.status.context("no status")?.node.as_deref(),
            Some(node)
        );
    }
    project.delete_flavor(&huge).await
}

#[tokio::test]
async fn one_of_many_servers_gets_the_last_slot_also_across_an_operator_restart() -> Result<()> {
    let (_turn, project) = small_node().await?;
    make_whole_flavor(&project).await?;
    let names: Vec<String> = (0..RACERS)
        .map(|number| format!("racer-{number}"))
        .collect();
    try_join_all(names.iter().map(|name| make_whole(&project, name))).await?;
    let winner = one_is_bound(&project, RACERS).await?;

    // A new process knows only what is written down.
    let operator = project.testbed.part("operator")?;
    operator.kill9().await?;
    operator.start().await?;
    wait_waiting(project.testbed, RACERS - 1).await?;
    assert_eq!(one_is_bound(&project, RACERS).await?, winner);
    stays("the slot is taken once", QUIET, async || {
        Ok(bound(&project).await?.len() == 1)
    })
    .await?;

    // The slot is given away while the operator is gone: whoever is back must see it.
    project.ask_delete(&winner).await?;
    operator.kill9().await?;
    operator.start().await?;
    project.wait_deleted(&winner).await?;
    let second = one_is_bound(&project, RACERS - 1).await?;
    assert_ne!(second, winner);
    for name in names.iter().filter(|name| **name != winner) {
        project.ask_delete(name).await?;
    }
    for name in &names {
        project.wait_deleted(name).await?;
    }
    project.delete_flavor(&whole(&project)).await
}

async fn bound(project: &Project<'_>) -> Result<Vec<String>> {
    let servers = project.api::<Server>().list(&ListParams::default()).await?;
    Ok(servers
        .iter()
        .filter(|server| is_bound(server))
        .map(ResourceExt::name_any)
        .collect())
}

/// Waits until one server has a node and all others know that there is none for them.
async fn one_is_bound(project: &Project<'_>, of: usize) -> Result<String> {
    let servers = project.api::<Server>();
    wait_for(
        "one server to be placed and the others refused",
        SOON * 2,
        async || {
            let all = servers.list(&ListParams::default()).await?.items;
            let (bound, waiting): (Vec<_>, Vec<_>) =
                all.iter().partition(|server| is_bound(server));
            ensure!(
                bound.len() <= 1,
                "{} servers have the last slot",
                bound.len()
            );
            let refused = waiting.iter().filter(|server| {
                crate::shared::message_of(server, "Scheduled").contains("vCPUs it needs")
            });
            let refused = refused.count();
            Ok(match bound.first() {
                Some(winner) if refused + 1 == of => Seen::Wanted(winner.name_any()),
                _ => Seen::NotYet(format!("{} placed, {refused} refused", bound.len())),
            })
        },
    )
    .await
}

/// Waits until the operator itself counts so many servers that wait for room.
async fn wait_waiting(testbed: &Testbed, count: usize) -> Result<()> {
    let line = format!("kilonova_scheduler_waiting_servers{{}} {count}");
    wait_for(&line, SOON * 2, async || {
        let page = page_of(testbed.operator_address().await?, "/metrics").await;
        Ok(match page {
            Ok((200, page)) if page.lines().any(|found| found == line) => Seen::Wanted(()),
            Ok((status, _)) => Seen::NotYet(format!("{status}, and another number")),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })
    .await
}
