//! What people and programs see: metrics, probes, events, kubectl's columns, `kubectl wait` and `kubectl describe`.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use kilonova::api::server::{PowerState, ServerState};
use serde_json::Value;
use testbed::{Seen, wait_for};

use crate::shared::{Project, SOON, TINY, page_of, testbed};

/// What the operator tells Prometheus once it has placed a server and refused another, by what must stand at the
/// beginning of a line. That every family is documented is `repository/metrics.rs`' business.
const OPERATOR_METRICS: [&str; 16] = [
    "kilonova_build_info{version=",
    "kilonova_leader 1",
    "kilonova_servers{state=\"SHUTOFF\"} ",
    "kilonova_hypervisors{ready=\"true\"} ",
    "kilonova_hypervisor_ready{hypervisor=",
    "kilonova_hypervisor_silence_seconds{hypervisor=",
    "kilonova_hypervisor_allocated_memory_bytes{hypervisor=",
    "kilonova_api_requests_total{verb=\"watch\",code=\"200\"}",
    "kilonova_reconcile_duration_seconds_bucket{",
    "kilonova_reconcile_duration_seconds_count{controller=\"server\"}",
    "kilonova_reconcile_total{controller=\"server\",outcome=\"ok\"}",
    "kilonova_scheduler_decision_seconds_bucket{",
    "kilonova_scheduler_decisions_total{outcome=\"placed\"}",
    "kilonova_scheduler_decisions_total{outcome=\"refused\"}",
    "kilonova_scheduler_refused_hypervisors_total{filter=\"NodeSelector\"}",
    "kilonova_scheduler_waiting_servers{} ",
];
/// What an agent tells it once it has an image and a guest.
const AGENT_METRICS: [&str; 11] = [
    "kilonova_build_info{version=",
    "kilonova_api_requests_total{verb=\"patch\",code=\"200\"}",
    "kilonova_reconcile_duration_seconds_count{controller=\"guest\"}",
    "kilonova_reconcile_total{controller=\"guest\",outcome=\"ok\"}",
    "kilonova_libvirt_call_seconds_bucket{",
    "kilonova_guests ",
    "kilonova_orphaned_domains ",
    "kilonova_guest_restarts_total ",
    "kilonova_node_disk_free_bytes ",
    "kilonova_image_cache_images{state=\"ready\"} ",
    "kilonova_image_download_bytes_total ",
];

#[tokio::test]
async fn operator_and_agents_answer_probes_and_count_what_they_do() -> Result<()> {
    let project = Project::shared().await?;
    // Something to count: one server that is placed, one that is refused.
    project
        .make("off", |spec| spec.power_state = PowerState::Stopped)
        .await?;
    project.wait_state("off", ServerState::Shutoff).await?;
    project
        .make("nowhere", |spec| {
            let node_selector = [("no-such-label".to_owned(), "x".to_owned())].into();
            spec.placement = Some(kilonova::api::server::Placement { node_selector });
        })
        .await?;
    project
        .wait_words("nowhere", "Scheduled", false, &["node selector"])
        .await?;
    let testbed = testbed().await?;
    has_metrics(testbed.operator_address().await?, &OPERATOR_METRICS)
        .await
        .context("the operator")?;
    let server = project.get("off").await?;
    let name = server
        .status
        .and_then(|status| status.node)
        .context("no node")?;
    let node = testbed.node(&name)?;
    has_metrics((node.address(), 8081).into(), &AGENT_METRICS)
        .await
        .context("the agent")
}

async fn has_metrics(address: SocketAddr, families: &[&str]) -> Result<()> {
    for path in ["/healthz", "/readyz"] {
        let (status, text) = page_of(address, path).await?;
        assert_eq!((status, &*text), (200, "ok"), "{path}");
    }
    let (status, page) = page_of(address, "/metrics").await?;
    assert_eq!(status, 200);
    ensure!(
        page.trim_end().ends_with("# EOF"),
        "this is no OpenMetrics text"
    );
    for family in families {
        ensure!(
            page.lines().any(|line| line.starts_with(family)),
            "no {family} in\n{page}"
        );
    }
    let (status, _) = page_of(address, "/nothing").await?;
    assert_eq!(status, 404);
    Ok(())
}

#[tokio::test]
async fn kubectl_shows_servers_and_waits_for_them() -> Result<()> {
    let project = Project::shared().await?;
    project.make("web", |_| {}).await?;
    let wait = [
        "wait",
        "server/web",
        "--for=condition=Ready",
        "--timeout=120s",
    ];
    kubectl(&project, &wait).await?;
    let status = project.get("web").await?.status.context("no status")?;
    let (node, id) = (status.node.context("no node")?, status.id.context("no id")?);
    let (head, line) = columns(&project, &[]).await?;
    assert_eq!(
        head,
        ["NAME", "READY", "STATE", "FLAVOR", "IMAGE", "HOST", "AGE"]
    );
    assert_eq!(
        line[..6],
        ["web", "True", "ACTIVE", &project.name, TINY, &node]
    );
    let (head, line) = columns(&project, &["-o", "wide"]).await?;
    assert_eq!(
        head[7..],
        ["ADDRESSES", "POWER", "RESTARTS", "ID", "MESSAGE"]
    );
    assert_eq!(line[7..10], ["Running", "0", &id]);
    // The same object under its other names.
    kubectl(&project, &["get", "kserver", "web"]).await?;
    let all = kubectl(&project, &["get", "all"]).await?;
    ensure!(all.contains("server.kilonova.dev/web"), "{all}");
    Ok(())
}

#[tokio::test]
async fn kubectl_describes_a_server_with_its_story() -> Result<()> {
    let project = Project::shared().await?;
    project.make("web", |_| {}).await?;
    let server = project.wait_state("web", ServerState::Active).await?;
    let node = server
        .status
        .and_then(|status| status.node)
        .context("no node")?;
    project.power("web", PowerState::Paused).await?;
    let paused = "--for=jsonpath={.status.state}=PAUSED";
    kubectl(&project, &["wait", "server/web", paused, "--timeout=60s"]).await?;
    let story = ["Scheduled", "Started", "Paused"];
    let described = wait_for("the story in kubectl describe", SOON, async || {
        let text = kubectl(&project, &["describe", "server", "web"]).await?;
        let (_, events) = text.split_once("\nEvents:").context("no events")?;
        Ok(
            match story.iter().find(|reason| !events.contains(**reason)) {
                None => Seen::Wanted(events.to_owned()),
                Some(missing) => Seen::NotYet(format!("no {missing} in {events}")),
            },
        )
    })
    .await?;
    for words in [
        format!("hypervisor {node} has it"),
        format!("it runs on hypervisor {node} for the first time"),
    ] {
        ensure!(described.contains(&words), "no {words:?} in {described}");
    }
    Ok(())
}

async fn kubectl(project: &Project<'_>, words: &[&str]) -> Result<String> {
    let words = [words, &["--namespace", &project.name]].concat();
    project.testbed.cluster().await?.kubectl(&words, "").await
}

/// The head and the only line of `kubectl get servers`, in words.
async fn columns(project: &Project<'_>, flags: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
    let table = kubectl(project, &[&["get", "servers"], flags].concat()).await?;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let mut lines = table.lines().map(words);
    Ok((
        lines.next().context("no head")?,
        lines.next().context("no line")?,
    ))
}

#[tokio::test]
async fn events_tell_the_story_of_a_server() -> Result<()> {
    let project = Project::shared().await?;
    project.make("web", |_| {}).await?;
    for (power, state) in [
        (PowerState::Running, ServerState::Active),
        (PowerState::Suspended, ServerState::Suspended),
        (PowerState::Stopped, ServerState::Shutoff),
    ] {
        project.power("web", power).await?;
        project.wait_state("web", state).await?;
    }
    let server = project.get("web").await?;
    let story = ["Scheduled", "Started", "Suspended", "Stopped"];
    wait_for("the story to be told", SOON, async || {
        let told = project.events_of(&server).await?;
        let all = story
            .iter()
            .all(|reason| told.iter().any(|found| found == reason));
        Ok(Seen::when(all, format!("{told:?}")))
    })
    .await?;
    // Events are for people: a quiet life has few.
    let told = project.events_of(&server).await?;
    ensure!(told.len() <= 6, "{told:?}");
    let events = project.testbed.cluster().await?;
    let words = ["get", "events", "--namespace", &project.name, "-o", "json"];
    let list: Value = serde_json::from_str(&events.kubectl(&words, "").await?)?;
    let component = |event: &Value| event["reportingComponent"].as_str().map(str::to_owned);
    let items = list["items"].as_array().context("no items")?;
    ensure!(
        items
            .iter()
            .all(|event| component(event).is_some_and(|name| name.contains("kilonova"))),
        "{items:?}"
    );
    Ok(())
}
