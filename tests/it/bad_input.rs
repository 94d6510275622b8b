//! Mistakes that no schema can know: each is told in the server's conditions, in words that help, and leaves nothing
//! behind; what can be mended is taken up once it is.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kilonova::api::flavor::Flavor;
use kilonova::api::image::DiskFormat;
use kilonova::api::server::{PowerState, SecretKey, ServerState, USER_DATA_BYTES_MAX, UserData};
use kilonova::api::value::{Reference, Size};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use testbed::{GuestImage, Seen, wait_for};

use crate::shared::{GuestOnNode, Page, Project, SOON, Web, condition_of, image, sha256, testbed};

#[tokio::test]
async fn a_server_whose_flavor_or_image_is_missing_starts_once_they_appear() -> Result<()> {
    let project = Project::shared().await?;
    let flavor = format!("{}-later", project.name);
    project
        .make("web", |spec| {
            spec.flavor.clone_from(&flavor);
            spec.image = Reference::new("later");
        })
        .await?;
    let words = [
        &*format!("there is no flavor {flavor:?}"),
        "kubectl get flavors",
    ];
    project.wait_words("web", "Stalled", true, &words).await?;
    let server = project.wait_words("web", "Ready", false, &words).await?;
    assert_eq!(
        condition_of(&server, "Ready").context("no Ready")?.reason,
        "FlavorNotFound"
    );
    let status = server.status.context("no status")?;
    assert_eq!(status.state, Some(ServerState::Error));
    assert_eq!(status.node, None, "it claims nothing");
    project.flavor(&flavor, |_| {}).await?;
    let words = [
        "there is no image \"later\"",
        "kubectl get images.kilonova.dev",
    ];
    project.wait_words("web", "Ready", false, &words).await?;
    let tiny_image = testbed().await?.image(GuestImage::Tiny).await?;
    project
        .create(&image("later", &tiny_image.url, &tiny_image.sha256)?)
        .await?;
    let server = project.wait_state("web", ServerState::Active).await?;
    ensure!(
        server.status.context("no status")?.fault.is_none(),
        "the fault is mended"
    );
    project.delete("web").await?;
    project.delete_flavor(&flavor).await
}

#[tokio::test]
async fn a_server_whose_user_data_is_missing_starts_once_it_appears() -> Result<()> {
    let project = Project::shared().await?;
    let secret = |name: &str, key: &str| {
        let (name, key) = (name.to_owned(), key.to_owned());
        Some(UserData {
            inline: None,
            secret: Some(SecretKey { name, key }),
        })
    };
    project.secret("half", "other", b"x").await?;
    project
        .secret("big", "run", &vec![b'#'; USER_DATA_BYTES_MAX + 1])
        .await?;
    project
        .make("none", |spec| spec.user_data = secret("setup", "run"))
        .await?;
    project
        .make("half", |spec| spec.user_data = secret("half", "run"))
        .await?;
    project
        .make("big", |spec| spec.user_data = secret("big", "run"))
        .await?;
    for (name, words) in [
        ("none", ["there is no Secret \"setup\"", "spec.userData"]),
        ("half", ["Secret \"half\" has no key \"run\"", "add it"]),
        ("big", ["65537 bytes", "at most 65536"]),
    ] {
        project.wait_words(name, "Ready", false, &words).await?;
        let server = project.wait_words(name, "Stalled", true, &words).await?;
        ensure!(
            server.status.context("no status")?.node.is_none(),
            "{name} claims nothing"
        );
    }
    let script = b"#!/bin/sh\necho here at last\n";
    project.secret("setup", "run", script).await?;
    let server = project.wait_state("none", ServerState::Active).await?;
    let guest = GuestOnNode::of(project.testbed, &server)?;
    let report = guest.wait_up(1).await?;
    assert_eq!(report.user_data_sha256, [sha256(script)]);
    project.delete("half").await?;
    project.delete("big").await?;
    project.delete_all_of("none", &guest).await
}

/// What is wrong with an image, and the words that say so.
struct BadImage {
    name: &'static str,
    page: Page,
    /// Absent: the digest of what is served.
    digest: Option<String>,
    format: DiskFormat,
    /// Whether only somebody can mend it; else it is tried again.
    refused: bool,
    words: &'static [&'static str],
}

#[tokio::test]
async fn an_image_that_cannot_be_had_or_trusted_is_named_with_what_is_wrong() -> Result<()> {
    let project = Project::shared().await?;
    let small = format!("{}-1mi", project.name);
    project
        .flavor(&small, |spec| spec.disk = Size::mib(1))
        .await?;
    let folder = tempfile::tempdir()?;
    let mut servers = Vec::new();
    let mut webs = Vec::new();
    for bad in bad_images(folder.path()).await? {
        let web = Web::serve(project.testbed, bad.page.clone())?;
        let digest = bad.digest.unwrap_or_else(|| match &bad.page {
            Page::File(bytes) => sha256(bytes),
            // Never equal, never the same for two tests.
            Page::Slow(_) | Page::Status(_) | Page::Endless => sha256(web.url().as_bytes()),
        });
        let mut object = image(bad.name, &web.url(), &digest)?;
        object.spec.format = bad.format;
        project.create(&object).await?;
        project
            .make(bad.name, |spec| {
                spec.flavor.clone_from(&small);
                spec.image = Reference::new(bad.name);
            })
            .await?;
        servers.push((bad.name, bad.refused, bad.words));
        webs.push(web);
    }
    let mut guests = Vec::new();
    for (name, refused, words) in servers {
        let image = format!("image {}/{name}", project.name);
        let words: Vec<&str> = words.iter().copied().chain([&*image]).collect();
        project.wait_words(name, "Ready", false, &words).await?;
        if refused {
            project.wait_words(name, "Stalled", true, &words).await?;
        }
        let server = project
            .wait_words(name, "StorageReady", false, &words)
            .await?;
        let stalled = condition_of(&server, "Stalled").context("no Stalled")?;
        assert_eq!(stalled.status == "True", refused, "{name}: {stalled:?}");
        guests.push((name, GuestOnNode::of(project.testbed, &server)?));
    }
    for (name, guest) in guests {
        ensure!(!guest.has_domain().await?, "{name} has a domain");
        project.delete_all_of(name, &guest).await?;
    }
    project.delete_flavor(&small).await
}

async fn bad_images(folder: &Path) -> Result<Vec<BadImage>> {
    let file = |bytes: Vec<u8>| Page::File(Arc::new(bytes));
    let bad = |name, page, words| BadImage {
        name,
        page,
        digest: None,
        format: DiskFormat::Qcow2,
        refused: true,
        words,
    };
    let html = b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec();
    let raw = |image: BadImage| BadImage {
        format: DiskFormat::Raw,
        ..image
    };
    let passing = |image: BadImage| BadImage {
        refused: false,
        ..image
    };
    let good = qcow2(folder, "good", &["1M"]).await?;
    let wrong = BadImage {
        digest: Some(sha256(&[&*good, b"x"].concat())),
        ..bad(
            "wrong-digest",
            file(good),
            &["SHA-256 digest", "declares", "check address and digest"],
        )
    };
    let base = folder.join("good");
    let backed = ["-b", base.to_str().context("no text")?, "-F", "qcow2"];
    let backed = qcow2(folder, "backed", &backed).await?;
    let large = qcow2(folder, "large", &["1G"]).await?;
    Ok(vec![
        wrong,
        bad(
            "backed",
            file(backed),
            &["has a backing file", "good", "qemu-img convert"],
        ),
        bad(
            "large",
            file(large),
            &["a disk of 1Gi", "1Mi", "larger disk"],
        ),
        bad(
            "no-image",
            file(html),
            &["the file is", "declares format Qcow2"],
        ),
        passing(bad(
            "not-there",
            Page::Status("404 Not Found"),
            &["answers 404 Not Found"],
        )),
        passing(bad(
            "broken",
            Page::Status("503 Service Unavailable"),
            &["answers 503"],
        )),
        raw(bad(
            "endless",
            Page::Endless,
            &["is larger than 1.0 MiB", "larger disk"],
        )),
        raw(bad(
            "oversized",
            file(vec![0; 3 << 20]),
            &["is larger than 1.0 MiB", "larger disk"],
        )),
    ])
}

/// Makes a qcow2 file and returns its bytes.
async fn qcow2(folder: &Path, name: &str, words: &[&str]) -> Result<Vec<u8>> {
    let path = folder.join(name);
    let mut command = tokio::process::Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2"]);
    // The size comes last, the options first.
    let (options, size) = if words.len() > 1 {
        (words, &[][..])
    } else {
        (&[][..], words)
    };
    command.args(options).arg(&path).args(size);
    let status = command.status().await.context("failed to start qemu-img")?;
    ensure!(status.success(), "qemu-img ended with {status}");
    Ok(std::fs::read(path)?)
}

#[tokio::test]
async fn an_image_that_nobody_serves_is_tried_again_and_taken_once_it_is_there() -> Result<()> {
    let project = Project::shared().await?;
    let tiny_image = testbed().await?.image(GuestImage::Tiny).await?;
    let tiny = bytes_of(&tiny_image.url, project.testbed).await?;
    // Grown, so that it is another file to the cache, and the same disk to a guest.
    let tiny: Vec<u8> = [tiny, project.name.clone().into_bytes()].concat();
    let digest = sha256(&tiny);
    let reserved = Web::reserve(project.testbed)?;
    let url = format!("http://{}/image", reserved.local_addr()?);
    project.create(&image("late", &url, &digest)?).await?;
    project
        .make("web", |spec| spec.image = Reference::new("late"))
        .await?;
    let server = project
        .wait_words("web", "Ready", false, &["cannot be reached", "tried again"])
        .await?;
    let stalled = condition_of(&server, "Stalled").context("no Stalled")?;
    assert_eq!(stalled.status, "False", "nobody has to act: {stalled:?}");
    let web = Web::serve_on(reserved, Page::Slow(Arc::new(tiny)))?;
    project
        .wait_words("web", "Ready", false, &["downloading image", "%"])
        .await?;
    web.release();
    let server = project.wait_state("web", ServerState::Active).await?;
    let guest = GuestOnNode::of(project.testbed, &server)?;
    project.delete_all_of("web", &guest).await
}

/// The bytes behind an address.
async fn bytes_of(url: &str, testbed: &testbed::Testbed) -> Result<Vec<u8>> {
    let node = testbed.nodes()?.into_iter().next().context("no node")?;
    let fetch = node
        .command(["busybox", "wget", "-q", "-O", "-", url])?
        .output()
        .await?;
    ensure!(
        fetch.status.success() && !fetch.stdout.is_empty(),
        "{fetch:?}"
    );
    Ok(fetch.stdout)
}

#[tokio::test]
async fn a_flavor_in_use_stays_until_its_last_server_has_gone() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("first", |_| {}).await?;
    let qemu = guest.qemu().context("it has a QEMU")?;
    let flavors: Api<Flavor> = Api::all(project.client.clone());
    flavors
        .delete(&project.name, &DeleteParams::default())
        .await?;
    let user = format!("{}/first", project.name);
    wait_for("the flavor to say who uses it", SOON, async || {
        let flavor = flavors.get(&project.name).await?;
        let said = flavor
            .status
            .iter()
            .flat_map(|status| &status.conditions)
            .find(|c| c.type_ == "Ready");
        let said = said
            .map(|ready| (ready.status.clone(), ready.message.clone()))
            .unwrap_or_default();
        Ok(Seen::when(
            said.0 == "False" && said.1.contains(&user),
            format!("{said:?}"),
        ))
    })
    .await?;
    project.make("second", |_| {}).await?;
    let words = [
        "is being deleted and takes no new servers",
        "make it with another one",
    ];
    project
        .wait_words("second", "Stalled", true, &words)
        .await?;
    assert_eq!(guest.qemu(), Some(qemu), "who has it runs on");
    // Also across what makes the operator look at it again.
    project.power("first", PowerState::Paused).await?;
    project.wait_state("first", ServerState::Paused).await?;
    assert_eq!(guest.qemu(), Some(qemu));
    project.delete("second").await?;
    project.delete_all_of("first", &guest).await?;
    wait_for("the flavor to be gone", SOON, async || {
        let flavor = flavors.get_opt(&project.name).await?;
        Ok(Seen::when(
            flavor.is_none(),
            format!("{:?}", flavor.map(|f| f.finalizers().to_vec())),
        ))
    })
    .await
}
