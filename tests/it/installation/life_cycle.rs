//! Install, upgrade (values, image, a kind with a new field), rollback, uninstall, and installing again, with both
//! Helms.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kilonova::api::server::{PowerState, ServerState};
use kube::api::{Api, ListParams};
use serde_json::Value;
use tempfile::TempDir;
use testbed::{Helm, Release, SYSTEM_NAMESPACE, Seen, Testbed, chart, wait_for};

use crate::shared::{GuestOnNode, Project, SOON};

use super::{Witness, boot_all, turn, undisturbed};

/// A field that no version of Kilonova has.
const NEW_FIELD: &str = "colour";

#[tokio::test]
async fn guests_outlive_every_turn_of_an_installation() -> Result<()> {
    let (_turn, project) = turn().await?;
    let testbed = project.testbed;
    let guests = boot_all(&project, &["one", "two", "three"]).await?;
    for (helm, other) in [(Helm::V4, Helm::V3), (Helm::V3, Helm::V4)] {
        let release = Release::of(testbed, helm).await?;
        let said = release.test().await.context("the chart's own tests")?;
        ensure!(said.contains("Succeeded"), "{said}");
        upgrade_and_roll_back(&project, &release, &guests)
            .await
            .with_context(|| format!("with {helm:?}"))?;
        release.uninstall().await?;
        nothing_runs_and_nothing_is_lost(testbed, &project, &guests).await?;
        let release = Release::of(testbed, other).await?;
        release.install(&chart(), &[]).await?;
        undisturbed(&guests, "it was installed again").await?;
        works(&project, &guests).await?;
    }
    for Witness { name, guest, .. } in &guests {
        let server = project.wait_state(name, ServerState::Active).await?;
        assert_eq!(server.status.context("no status")?.restarts, Some(0));
        project.delete_all_of(name, guest).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_installation_that_was_cut_short_can_be_repeated() -> Result<()> {
    let (_turn, project) = turn().await?;
    let release = Release::of(project.testbed, Helm::V4).await?;
    let client = project.testbed.client().await?;
    let secrets: Api<Secret> = Api::namespaced(client, SYSTEM_NAMESPACE);
    let pending = ListParams::default().labels("owner=helm,status=pending-upgrade");
    let begun = wait_for("Helm to have begun", SOON, async || {
        let found = secrets.list(&pending).await?.items;
        Ok(Seen::when(!found.is_empty(), "nothing is pending"))
    });
    let chart = chart();
    tokio::select! {
        biased;
        begun = begun => begun?,
        ended = release.install(&chart, &["--set", "agent.settings.logFilter=debug"]) => {
            bail!("Helm ended before it was killed: {ended:?}")
        }
    }
    let left = secrets.list(&pending).await?.items;
    ensure!(!left.is_empty(), "Helm was killed and has tidied up");
    release.install(&chart, &[]).await
}

async fn upgrade_and_roll_back(
    project: &Project<'_>,
    release: &Release,
    guests: &[Witness],
) -> Result<()> {
    let testbed = project.testbed;
    release
        .install(&chart(), &["--set", "agent.settings.logFilter=debug"])
        .await
        .context("other values")?;
    undisturbed(guests, "its values changed").await?;

    let image = other_image(testbed).await?;
    let tag = format!("image.tag={image}");
    release
        .install(&chart(), &["--set", &tag])
        .await
        .context("another image")?;
    ensure!(
        image_of_operator(testbed).await?.ends_with(&image),
        "the operator runs the old image"
    );
    undisturbed(guests, "its image changed").await?;
    works(project, guests).await?;

    let newer = Newer::chart()?;
    release
        .install(&newer.chart, &["--set", &tag])
        .await
        .context("a kind with a new field")?;
    has_field(testbed, true).await?;
    undisturbed(guests, "a kind got a field").await?;

    release.roll_back().await.context("a rollback")?;
    has_field(testbed, false).await?;
    release.roll_back().await.context("a rollback of it")?;
    has_field(testbed, true).await?;
    undisturbed(guests, "it was rolled back").await?;
    works(project, guests).await
}

/// What is stopped starts, and a new server runs: operator and agents are at work.
async fn works(project: &Project<'_>, guests: &[Witness]) -> Result<()> {
    let made = wait_for("a server to be taken", SOON, async || {
        Ok(Seen::of(project.make("new", |_| {}).await))
    });
    made.await?;
    let server = project.wait_state("new", ServerState::Active).await?;
    let guest = GuestOnNode::of(project.testbed, &server)?;
    project.delete_all_of("new", &guest).await?;
    // One of those that were there before: it was adopted, and not only left alone.
    let name = guests.first().context("there is none")?.name;
    project.power(name, PowerState::Paused).await?;
    project.wait_state(name, ServerState::Paused).await?;
    project.power(name, PowerState::Running).await?;
    project.wait_state(name, ServerState::Active).await?;
    Ok(())
}

async fn nothing_runs_and_nothing_is_lost(
    testbed: &Testbed,
    project: &Project<'_>,
    guests: &[Witness],
) -> Result<()> {
    wait_for("all programs to have ended", SOON, async || {
        let left = testbed.programs().await?;
        Ok(Seen::when(left.is_empty(), format!("{left:?}")))
    })
    .await?;
    undisturbed(guests, "it was uninstalled").await?;
    for Witness { name, guest, .. } in guests {
        let server = project.get(name).await?;
        let status = server
            .status
            .with_context(|| format!("{name} has no status"))?;
        ensure!(
            status.node.as_deref() == Some(guest.node.name()),
            "{name} is nowhere"
        );
    }
    Ok(())
}

/// The same image by another name, on all nodes; returns its tag.
async fn other_image(testbed: &Testbed) -> Result<String> {
    let image = image_of_operator(testbed).await?;
    let (_, tag) = image.rsplit_once(':').context("the image has no tag")?;
    let other = match tag.strip_suffix("-other") {
        Some(tag) => tag.to_owned(),
        None => format!("{tag}-other"),
    };
    for node in testbed.nodes()? {
        node.tag_image(&image, &image.replace(tag, &other)).await?;
    }
    Ok(other)
}

async fn image_of_operator(testbed: &Testbed) -> Result<String> {
    let deployments: Api<Deployment> = Api::namespaced(testbed.client().await?, SYSTEM_NAMESPACE);
    let labels = ListParams::default().labels("app.kubernetes.io/component=operator");
    let found = deployments.list(&labels).await?.items.into_iter().next();
    let pod = found.and_then(|found| found.spec?.template.spec);
    let image = pod.and_then(|pod| pod.containers.into_iter().next()?.image);
    image.context("the operator has no image")
}

async fn has_field(testbed: &Testbed, wanted: bool) -> Result<()> {
    let kinds: Api<CustomResourceDefinition> = Api::all(testbed.client().await?);
    let kind = serde_json::to_value(kinds.get("servers.kilonova.dev").await?)?;
    let path =
        format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{NEW_FIELD}");
    let found: Option<&Value> = kind.pointer(&path);
    ensure!(
        found.is_some() == wanted,
        "the kind Server has a field {NEW_FIELD:?}: {found:?}"
    );
    Ok(())
}

/// The chart as a later version may have it: `Server` has one more field.
struct Newer {
    chart: PathBuf,
    _folder: TempDir,
}

impl Newer {
    fn chart() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let charts = chart();
        let charts = charts.parent().context("the chart lies in no folder")?;
        copy(charts, &folder.path().join("charts"))?;
        let kind = folder
            .path()
            .join("charts/kilonova-crds/templates/servers.yaml");
        let text = std::fs::read_to_string(&kind)?;
        let newer = with_field(&text).with_context(|| format!("in {}", kind.display()))?;
        std::fs::write(&kind, newer)?;
        Ok(Self {
            chart: folder.path().join("charts/kilonova"),
            _folder: folder,
        })
    }
}

/// Puts the field before the first one of the spec, which every server has.
fn with_field(text: &str) -> Result<String> {
    let line = text
        .lines()
        .find(|line| line.trim() == "flavor:")
        .context("Server has no field `flavor`")?;
    let indent = &line[..line.len() - "flavor:".len()];
    let field =
        format!("{indent}{NEW_FIELD}:\n{indent}  type: string\n{indent}  maxLength: 64\n{line}");
    Ok(text.replacen(line, &field, 1))
}

/// Copies a folder with all that is in it; links stay links.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
