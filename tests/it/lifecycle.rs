//! The life of a server: it is made, turned off and on, paused, suspended and deleted, and its guest agrees at each
//! step, by what it says on its console.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kilonova::api::key_pair::{KeyPair, KeyPairSpec};
use kilonova::api::server::{PowerState, SecretKey, ServerState, UserData};
use kilonova::api::value::Reference;
use kube::ResourceExt;
use testbed::images::console::PowerButton;
use testbed::{Seen, wait_for};

use crate::shared::{
    GuestOnNode, Page, Project, SOON, Web, grace, image, inline, sha256, stays, testbed,
};

/// A guest that does not listen when it is asked to power off.
pub const DEAF: &str = "#!/bin/sh\ntouch /run/ignore-power-button\n";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl alice";
/// How long nothing must happen to be believed: a few of the guest's ticks.
const QUIET: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_server_boots_as_its_spec_says_and_leaves_nothing_behind() -> Result<()> {
    let project = Project::shared().await?;
    let public_key = KEY.to_owned();
    let key = KeyPair::new("alice", KeyPairSpec { public_key });
    project.create(&key).await?;
    let script = "#!/bin/sh\necho \"héllo <&'\\\" world\"\n";
    let (guest, report) = project
        .boot("web", |spec| {
            spec.hostname = Some("shop-front".to_owned());
            spec.key_pairs = vec!["alice".to_owned()];
            spec.user_data = Some(inline(script));
        })
        .await?;
    let up = report.up().context("it is up")?;
    assert_eq!(up.hostname, "shop-front");
    assert_eq!(up.instance_id, guest.uid);
    assert_eq!(up.boot, 1);
    assert_eq!(report.keys, [KEY]);
    assert_eq!(report.user_data_sha256, [sha256(script.as_bytes())]);
    assert_eq!(report.user_data_exits, [0]);
    assert_eq!(report.boot_counts, [1]);
    let server = project.get("web").await?;
    let status = server.status.as_ref().context("no status")?;
    assert_eq!(status.id, server.uid());
    assert_eq!(status.power_state, Some(PowerState::Running));
    assert_eq!((status.restarts, status.epoch), (Some(0), Some(1)));
    assert!(status.started_at.is_some() && status.fault.is_none());
    assert_eq!(
        project.left_of(&guest).await?.len(),
        5,
        "the traces are looked for in the right places"
    );
    project.delete_all_of("web", &guest).await
}

#[tokio::test]
async fn a_server_that_is_stopped_and_started_boots_the_same_disk_again() -> Result<()> {
    let project = Project::shared().await?;
    let script = "#!/bin/sh\necho from a Secret\n";
    project.secret("setup", "run", script.as_bytes()).await?;
    let secret = SecretKey {
        name: "setup".to_owned(),
        key: "run".to_owned(),
    };
    let (guest, report) = project
        .boot("web", |spec| {
            spec.user_data = Some(UserData {
                inline: None,
                secret: Some(secret),
            });
        })
        .await?;
    assert_eq!(report.user_data_sha256, [sha256(script.as_bytes())]);
    assert_eq!(report.up().context("it is up")?.hostname, "web");

    let asked = Instant::now();
    project.power("web", PowerState::Stopped).await?;
    project.wait_state("web", ServerState::Shutoff).await?;
    assert!(
        asked.elapsed() < Duration::from_secs(40),
        "the grace is 60 s: it was not cut off"
    );
    assert_eq!(
        guest.report().power_buttons.last(),
        Some(&PowerButton::Heeded)
    );
    assert!(!guest.any_qemu()?);

    project.power("web", PowerState::Running).await?;
    project.wait_state("web", ServerState::Active).await?;
    let report = guest.wait_up(2).await?;
    assert_eq!(report.boot_counts, [1, 2]);
    assert_eq!(report.up().context("it is up")?.boot, 2);
    let status = project.get("web").await?.status.context("no status")?;
    assert_eq!(
        status.restarts,
        Some(0),
        "what its owner asked for is no restart"
    );
    project.delete_all_of("web", &guest).await
}

#[tokio::test]
async fn a_guest_that_ignores_the_power_button_is_cut_off_after_its_grace() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project
        .boot("deaf", |spec| {
            spec.user_data = Some(inline(DEAF));
            spec.shutdown = Some(grace(8));
        })
        .await?;
    let asked = Instant::now();
    project.power("deaf", PowerState::Stopped).await?;
    project.wait_state("deaf", ServerState::Shutoff).await?;
    let took = asked.elapsed();
    // Times in a status are whole seconds.
    ensure!(
        took >= Duration::from_secs(7),
        "it was cut off after {took:?} already"
    );
    let presses = guest.report().power_buttons;
    ensure!(!presses.is_empty(), "it was never asked");
    ensure!(
        presses.iter().all(|press| *press == PowerButton::Ignored),
        "{presses:?}"
    );
    assert!(!guest.any_qemu()?);
    project.delete_all_of("deaf", &guest).await
}

#[tokio::test]
async fn a_paused_server_stands_still_in_memory_and_goes_on() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    let qemu = guest.qemu().context("it has a QEMU")?;
    project.power("web", PowerState::Paused).await?;
    project.wait_state("web", ServerState::Paused).await?;
    let still = guest.console();
    stays("a paused guest says nothing", QUIET, async || {
        Ok(guest.console() == still)
    })
    .await?;
    project.power("web", PowerState::Running).await?;
    project.wait_state("web", ServerState::Active).await?;
    let report = guest.wait_tick().await?;
    assert_eq!(report.boot_counts, [1], "its memory was kept");
    assert_eq!(guest.qemu(), Some(qemu), "its QEMU was kept");
    project.power("web", PowerState::Paused).await?;
    project.wait_state("web", ServerState::Paused).await?;
    project.delete_all_of("web", &guest).await
}

#[tokio::test]
async fn a_suspended_server_has_no_qemu_and_goes_on_where_it_was() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    let before = guest.wait_tick().await?;
    project.power("web", PowerState::Suspended).await?;
    project.wait_state("web", ServerState::Suspended).await?;
    assert!(!guest.any_qemu()?);
    stays("a suspended guest has no QEMU", QUIET, async || {
        Ok(!guest.any_qemu()?)
    })
    .await?;
    project.power("web", PowerState::Running).await?;
    project.wait_state("web", ServerState::Active).await?;
    let report = guest.wait_tick().await?;
    assert_eq!(report.boot_counts, [1], "its memory was kept");
    assert_eq!(report.ups.len(), 1, "it did not boot");
    let last = |ticks: &[u64]| ticks.last().copied().unwrap_or_default();
    ensure!(
        last(&report.ticks_s) > last(&before.ticks_s),
        "its own clock went on: {:?}",
        report.ticks_s
    );
    project.power("web", PowerState::Suspended).await?;
    project.wait_state("web", ServerState::Suspended).await?;
    project.delete_all_of("web", &guest).await?;
    let saved = guest.node.path_of("/var/lib/libvirt/qemu/save");
    let saved = saved.join(format!("{}.save", guest.domain()));
    ensure!(
        !saved.exists(),
        "its memory is still in {}",
        saved.display()
    );
    Ok(())
}

#[tokio::test]
async fn a_server_is_deleted_while_its_image_downloads() -> Result<()> {
    let project = Project::shared().await?;
    // Another digest than every other test's image, or the node would have it already.
    let mut bytes = b"a file of this test alone ".to_vec();
    bytes.extend(project.name.bytes());
    bytes.resize(8 << 20, 7);
    let digest = sha256(&bytes);
    let web = Web::serve(testbed().await?, Page::Slow(Arc::new(bytes)))?;
    project.create(&image("slow", &web.url(), &digest)?).await?;
    project
        .make("web", |spec| spec.image = Reference::new("slow"))
        .await?;
    let server = project
        .wait_words(
            "web",
            "StorageReady",
            false,
            &["downloading image", "/slow", "%"],
        )
        .await?;
    let guest = GuestOnNode::of(project.testbed, &server)?;
    project.delete_all_of("web", &guest).await?;
    let images = guest.node.path_of("/var/lib/kilonova/images");
    let what = "the image to be in nobody's way";
    wait_for(what, SOON, async || {
        let entries = std::fs::read_dir(&images)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let found: Vec<String> = entries.filter(|name| name.starts_with(&digest)).collect();
        // It may be kept: what must not be is a file that passes for the image.
        Ok(Seen::when(
            !found.contains(&format!("{digest}.qcow2")),
            format!("{found:?}"),
        ))
    })
    .await
}

#[tokio::test]
async fn a_server_made_again_under_its_name_is_another_machine() -> Result<()> {
    let project = Project::shared().await?;
    let (first, _) = project.boot("web", |_| {}).await?;
    project.power("web", PowerState::Stopped).await?;
    project.wait_state("web", ServerState::Shutoff).await?;
    project.delete_all_of("web", &first).await?;
    let (second, report) = project.boot("web", |_| {}).await?;
    assert_ne!(first.uid, second.uid);
    assert_eq!(report.boot_counts, [1], "its disk is blank");
    assert_eq!(report.up().context("it is up")?.instance_id, second.uid);
    project.delete_all_of("web", &second).await
}
