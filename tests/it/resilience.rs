//! Whatever of Kilonova or Kubernetes dies, guests run on; once it is back, everything goes on where it was. Also what
//! the agent does with domains that nobody asked for. One test at a time, on a testbed of their own. (The end of a leader
//! that has a standby is a matter of `installation`.)

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::rbac::v1::Role;
use kilonova::api::guest::Guest;
use kilonova::api::hypervisor::Hypervisor;
use kilonova::api::node_namespace;
use kilonova::api::server::{PowerState, Server, ServerState};
use kilonova::compute::plan::hypervisor::OUTFIT;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use testbed::{Part, Seen, Testbed, wait_for};
use tokio::sync::{Mutex, MutexGuard};

use crate::shared::{GuestOnNode, OwnTestbed, Project, SOON, page_of, stays};

/// What may die without harm to a guest.
const PARTS: [&str; 5] = ["n1/agent", "n2/agent", "operator", "kube-apiserver", "etcd"];
/// How long to watch that nothing happens.
const QUIET: Duration = Duration::from_secs(3);
/// The sweep looks every 10 s, and ends what was unwanted for 30 s.
const SWEPT: Duration = Duration::from_mins(2);
/// A domain of somebody else: firmware that finds nothing to boot.
const FOREIGN: &str = r#"<domain type="qemu"><name>foreign</name><memory unit="MiB">32</memory>
<os><type arch="x86_64" machine="q35">hvm</type></os></domain>"#;

static TESTBED: OwnTestbed = OwnTestbed::new("res", 2);
static TURN: Mutex<()> = Mutex::const_new(());

/// The testbed with everything running, for one test at a time.
async fn turn() -> Result<(MutexGuard<'static, ()>, Project<'static>)> {
    let turn = TURN.lock().await;
    let testbed = TESTBED.get().await?;
    revive(testbed).await?;
    Ok((turn, Project::on(testbed).await?))
}

/// Starts what does not run, again and again as an init system would, until everything is ready.
async fn revive(testbed: &Testbed) -> Result<()> {
    wait_for("everything to run again", SOON * 3, async || {
        for part in testbed.parts()? {
            part.start().await?;
        }
        Ok(Seen::of(all_ready(testbed).await))
    })
    .await
}

async fn all_ready(testbed: &Testbed) -> Result<()> {
    let cluster = testbed.cluster().await?;
    cluster.kubectl(&["get", "--raw", "/readyz"], "").await?;
    let agents = testbed
        .nodes()?
        .into_iter()
        .map(|node| (node.address(), 8081).into());
    for address in agents.chain([testbed.operator_address().await?]) {
        let (status, page) = page_of(address, "/readyz").await?;
        ensure!(status == 200, "{address} answers {status}: {page}");
    }
    Ok(())
}

/// Boots servers one beside the other, on both nodes.
async fn boot_all(project: &Project<'_>, names: &[&str]) -> Result<Vec<(GuestOnNode, u32)>> {
    try_join_all(names.iter().map(async |name| {
        let (guest, _) = project.boot(name, |_| {}).await?;
        let qemu = guest.qemu().context("it has a QEMU")?;
        anyhow::Ok((guest, qemu))
    }))
    .await
}

fn same_qemus(guests: &[(GuestOnNode, u32)]) -> bool {
    guests
        .iter()
        .all(|(guest, qemu)| guest.qemu() == Some(*qemu))
}

async fn kill(testbed: &Testbed, names: &[&str]) -> Result<()> {
    let parts: Vec<Part> = names
        .iter()
        .map(|name| testbed.part(name))
        .collect::<Result<_>>()?;
    try_join_all(parts.iter().map(Part::kill9)).await?;
    Ok(())
}

#[tokio::test]
async fn guests_run_on_whatever_else_dies_and_all_goes_on_afterwards() -> Result<()> {
    let (_turn, project) = turn().await?;
    let guests = boot_all(&project, &["one", "two", "three"]).await?;
    let nodes: BTreeSet<&str> = guests.iter().map(|(guest, _)| guest.node.name()).collect();
    assert_eq!(nodes.len(), 2, "they are spread");
    for part in PARTS {
        kill(project.testbed, &[part]).await?;
        stays("guests run on", QUIET, async || Ok(same_qemus(&guests)))
            .await
            .context(part)?;
        revive(project.testbed).await.context(part)?;
        works(&project)
            .await
            .with_context(|| format!("after {part} was killed"))?;
        ensure!(
            same_qemus(&guests),
            "{part} came back, and a guest has another QEMU"
        );
    }
    for part in ["n1/agent", "operator"] {
        project.testbed.part(part)?.restart().await?;
    }
    revive(project.testbed).await?;
    works(&project).await.context("after an orderly restart")?;

    kill(project.testbed, &PARTS).await?;
    stays("guests run on", QUIET, async || Ok(same_qemus(&guests))).await?;
    revive(project.testbed).await?;
    works(&project)
        .await
        .context("after everything was killed")?;
    ensure!(same_qemus(&guests), "a guest has another QEMU");
    for (name, (guest, _)) in ["one", "two", "three"].iter().zip(&guests) {
        let server = project.wait_state(name, ServerState::Active).await?;
        assert_eq!(server.status.context("no status")?.restarts, Some(0));
        guest.wait_tick().await?;
        project.delete_all_of(name, guest).await?;
    }
    Ok(())
}

/// There and back: `up` with another binary applies its CRDs and starts operator and agents again from it. (It is the
/// same code in another file. `tests/RESULTS.md` tells how upgrades from older code and older Kubernetes were seen.)
#[tokio::test]
async fn an_upgrade_and_a_rollback_leave_guests_alone() -> Result<()> {
    let (_turn, project) = turn().await?;
    let testbed = project.testbed;
    let guests = boot_all(&project, &["one", "two"]).await?;
    let this = PathBuf::from(env!("CARGO_BIN_EXE_kilonova"));
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("kilonova");
    std::fs::copy(&this, &other)?;
    for (binary, way) in [(&other, "the upgrade"), (&this, "the rollback")] {
        testbed.part("operator")?.stop().await?;
        fit_out_as_an_older_version(&project).await?;
        let builder = Testbed::builder(testbed.name()).nodes(2).kilonova(binary);
        drop(builder.up().await?);
        for part in ["operator", "n1/agent", "n2/agent"] {
            let process = testbed.part(part)?.process().context("it runs")?;
            let runs = std::fs::read_link(format!("/proc/{}/exe", process.pid))?;
            assert_eq!(&runs, binary, "{part} after {way}");
        }
        revive(testbed).await?;
        let roles: Api<Role> = Api::namespaced(project.client.clone(), &node_namespace("n1"));
        let has_rules = |role: &Role| role.rules.as_ref().is_some_and(|rules| rules.len() > 1);
        wait_for("the agent's rights", SOON, async || {
            Ok(Seen::when(has_rules(&roles.get("node").await?), "one rule"))
        })
        .await?;
        works(&project).await.with_context(|| way)?;
        ensure!(same_qemus(&guests), "{way} gave a guest another QEMU");
    }
    for (name, (guest, _)) in ["one", "two"].iter().zip(&guests) {
        project.wait_state(name, ServerState::Active).await?;
        guest.wait_tick().await?;
        project.delete_all_of(name, guest).await?;
    }
    Ok(())
}

/// Leaves n1 as a version would have that needed fewer rights.
async fn fit_out_as_an_older_version(project: &Project<'_>) -> Result<()> {
    let params = PatchParams::default();
    let roles: Api<Role> = Api::namespaced(project.client.clone(), &node_namespace("n1"));
    let role = roles.get("node").await?;
    let fewer: Vec<_> = role.rules.iter().flatten().take(1).collect();
    let patch = Patch::Merge(json!({ "rules": fewer }));
    roles.patch("node", &params, &patch).await?;
    let hypervisors: Api<Hypervisor> = Api::all(project.client.clone());
    let older = json!({ "metadata": { "annotations": { OUTFIT: "older" } } });
    hypervisors
        .patch("n1", &params, &Patch::Merge(older))
        .await?;
    Ok(())
}

/// A new server can be made, paused, woken and deleted.
async fn works(project: &Project<'_>) -> Result<()> {
    let made = wait_for("a server to be taken", SOON, async || {
        Ok(Seen::of(project.make("new", |_| {}).await))
    });
    made.await?;
    let server = project.wait_state("new", ServerState::Active).await?;
    let guest = GuestOnNode::of(project.testbed, &server)?;
    project.power("new", PowerState::Paused).await?;
    project.wait_state("new", ServerState::Paused).await?;
    project.power("new", PowerState::Running).await?;
    project.wait_state("new", ServerState::Active).await?;
    project.delete_all_of("new", &guest).await
}

#[tokio::test]
async fn what_happened_while_an_agent_was_away_is_made_up_for() -> Result<()> {
    let (_turn, project) = turn().await?;
    let guests = boot_all(&project, &["dies", "leaves", "stops", "stays"]).await?;
    let [(dies, killed), (leaves, _), (_, _), (_, kept)] = &guests[..] else {
        anyhow::bail!("there are four");
    };
    let agents = ["n1/agent", "n2/agent"];
    kill(project.testbed, &agents).await?;
    dies.kill_qemu().await?;
    project.ask_delete("leaves").await?;
    project.power("stops", PowerState::Stopped).await?;
    stays("nobody is there to do it", QUIET, async || {
        Ok(dies.qemu().is_none())
    })
    .await?;
    let leaving = project.get("leaves").await?;
    assert_eq!(
        leaving.status.context("no status")?.state,
        Some(ServerState::Deleting)
    );
    revive(project.testbed).await?;
    let restarted =
        |server: &Server| server.status.as_ref().and_then(|status| status.restarts) == Some(1);
    project
        .wait("dies", "to be restarted", SOON * 2, restarted)
        .await?;
    project.wait_state("dies", ServerState::Active).await?;
    ensure!(
        dies.qemu().is_some_and(|qemu| qemu != *killed),
        "it runs again"
    );
    project.wait_deleted("leaves").await?;
    let left = project.left_of(leaves).await?;
    ensure!(left.is_empty(), "there is {left:?}");
    project.wait_state("stops", ServerState::Shutoff).await?;
    assert_eq!(
        guests[3].0.qemu(),
        Some(*kept),
        "who was not concerned was left alone"
    );
    for name in ["dies", "stops", "stays"] {
        project.delete(name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_silent_is_told_and_its_servers_are_not_taken_for_dead() -> Result<()> {
    let (_turn, project) = turn().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    let qemu = guest.qemu().context("it has a QEMU")?;
    let agent = guest.node.part("agent");
    agent.stop().await?;
    let node = format!("hypervisor {} is not heard of", guest.node.name());
    let server = project
        .wait_words(
            "web",
            "Ready",
            false,
            &[&node, "if the host runs, so does the server"],
        )
        .await?;
    assert_eq!(
        server.status.context("no status")?.state,
        Some(ServerState::Active)
    );
    assert_eq!(guest.qemu(), Some(qemu));
    agent.start().await?;
    project.wait_state("web", ServerState::Active).await?;
    assert_eq!(guest.qemu(), Some(qemu));
    project.delete_all_of("web", &guest).await
}

#[tokio::test]
async fn a_domain_that_nobody_asked_for_is_ended_and_a_foreign_one_never() -> Result<()> {
    let (_turn, project) = turn().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    let node = &guest.node;
    std::fs::write(node.path_of("/var/lib/kilonova/foreign.xml"), FOREIGN)?;
    node.exec(["virsh", "create", "/var/lib/kilonova/foreign.xml"])
        .await?;
    let foreign = async || node.exec(["cat", "/run/libvirt/qemu/foreign.pid"]).await;
    let foreign_pid = foreign().await?;
    let agent = node.part("agent");
    agent.stop().await?;
    // Somebody is in a hurry: the server goes without its node's consent.
    project.ask_delete("web").await?;
    let guests: Api<Guest> = Api::namespaced(project.client.clone(), &node_namespace(node.name()));
    wait_for("the Guest to be on its way out", SOON, async || {
        let found = guests.get(&guest.uid).await?;
        Ok(Seen::when(
            found.metadata.deletion_timestamp.is_some(),
            "it is not",
        ))
    })
    .await?;
    let force = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    guests
        .patch(&guest.uid, &PatchParams::default(), &force)
        .await?;
    project.wait_deleted("web").await?;
    ensure!(guest.any_qemu()?, "nobody has ended it yet");
    agent.start().await?;
    stays(
        "nothing is ended at first sight",
        Duration::from_secs(15),
        async || guest.any_qemu(),
    )
    .await?;
    wait_for("the domain to be ended", SWEPT, async || {
        let left = (
            guest.any_qemu()?,
            guest.has_domain().await?,
            guest.folder().exists(),
        );
        Ok(Seen::when(
            left == (false, false, false),
            format!("QEMU, domain, folder: {left:?}"),
        ))
    })
    .await?;
    let aside = node
        .path_of("/var/lib/kilonova/lost+found")
        .join(&guest.uid);
    ensure!(
        std::fs::read_dir(&aside)?.count() > 0,
        "its disk is in {}",
        aside.display()
    );
    assert_eq!(foreign().await?, foreign_pid, "the foreign domain runs on");
    node.exec(["virsh", "destroy", "foreign"]).await?;
    std::fs::remove_dir_all(aside)?;
    Ok(())
}

#[tokio::test]
async fn a_guest_object_that_is_deleted_by_hand_harms_nobody() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    let qemu = guest.qemu().context("it has a QEMU")?;
    let guests: Api<Guest> =
        Api::namespaced(project.client.clone(), &node_namespace(guest.node.name()));
    guests.delete(&guest.uid, &DeleteParams::default()).await?;
    stays("its guest runs on", QUIET, async || {
        Ok(guest.qemu() == Some(qemu))
    })
    .await?;
    project.wait_state("web", ServerState::Active).await?;
    // By force, too: then the operator writes it anew.
    let force = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    guests
        .patch(&guest.uid, &PatchParams::default(), &force)
        .await?;
    wait_for("the Guest to be there again", SOON, async || {
        let found = guests.get_opt(&guest.uid).await?;
        let fresh = found.is_some_and(|found| found.metadata.deletion_timestamp.is_none());
        Ok(Seen::when(fresh, "it is not"))
    })
    .await?;
    project.wait_state("web", ServerState::Active).await?;
    stays("its guest runs on", QUIET, async || {
        Ok(guest.qemu() == Some(qemu))
    })
    .await?;
    project.power("web", PowerState::Paused).await?;
    project.wait_state("web", ServerState::Paused).await?;
    project.delete_all_of("web", &guest).await
}
