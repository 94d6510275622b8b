//! Servers that start by UEFI, with Secure Boot and with a TPM: the machine is built so, and the guest comes up.

use anyhow::{Context, Result, ensure};
use kilonova::api::flavor::{Firmware, FlavorSpec, Machine};
use kilonova::api::image::Image;
use kilonova::api::server::ServerState;
use kilonova::api::value::Size;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::shared::{GuestOnNode, Project};

/// Boots a server of such a flavor; its domain's XML and its console.
async fn boot(
    change: impl FnOnce(&mut FlavorSpec),
) -> Result<(Project<'static>, GuestOnNode, String)> {
    let project = Project::shared().await?;
    let flavor = format!("{}-firmware", project.name);
    project
        .flavor(&flavor, |spec| {
            spec.memory = Size::mib(256);
            change(spec);
        })
        .await?;
    let (guest, _) = project
        .boot("web", |spec| spec.flavor.clone_from(&flavor))
        .await?;
    let xml = guest.virsh("dumpxml").await?;
    Ok((project, guest, xml))
}

async fn end(project: Project<'static>, guest: GuestOnNode) -> Result<()> {
    let state = guest.node.path_of("/var/lib/libvirt");
    let traces = ["swtpm", "qemu/nvram"].map(|folder| state.join(folder));
    project.delete_all_of("web", &guest).await?;
    for folder in traces {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let left: Vec<String> = names.filter(|name| name.contains(&guest.uid)).collect();
        ensure!(left.is_empty(), "{left:?} is left in {}", folder.display());
    }
    project
        .delete_flavor(&format!("{}-firmware", project.name))
        .await
}

#[tokio::test]
async fn a_server_starts_by_uefi() -> Result<()> {
    let (project, guest, xml) = boot(|spec| spec.firmware = Some(Firmware::Uefi)).await?;
    ensure!(xml.contains("OVMF"), "{xml}");
    ensure!(!xml.contains("<tpm"), "{xml}");
    end(project, guest).await
}

#[tokio::test]
async fn a_server_starts_by_secure_boot_with_a_tpm() -> Result<()> {
    let (project, guest, xml) = boot(|spec| {
        spec.firmware = Some(Firmware::Uefi);
        spec.secure_boot = Some(true);
        spec.tpm = Some(true);
    })
    .await?;
    for words in [
        "OVMF",
        "secure='yes'",
        "<smm state='on'",
        "<tpm",
        "version='2.0'",
    ] {
        ensure!(xml.contains(words), "no {words} in {xml}");
    }
    end(project, guest).await
}

#[tokio::test]
async fn a_server_starts_on_the_old_board() -> Result<()> {
    let (project, guest, xml) = boot(|spec| spec.machine = Some(Machine::Pc)).await?;
    ensure!(xml.contains("pc-i440fx"), "{xml}");
    end(project, guest).await
}

#[tokio::test]
async fn an_image_asks_for_its_firmware_and_a_flavor_that_contradicts_is_told() -> Result<()> {
    let project = Project::shared().await?;
    let images: Api<Image> = project.api();
    let wishes = json!({"spec": {"properties": {"firmware": "Uefi", "secureBoot": true}}});
    images
        .patch(
            crate::shared::TINY,
            &PatchParams::default(),
            &Patch::Merge(wishes),
        )
        .await?;
    let bios = format!("{}-bios", project.name);
    project
        .flavor(&bios, |spec| spec.firmware = Some(Firmware::Bios))
        .await?;
    project
        .make("web", |spec| spec.flavor.clone_from(&bios))
        .await?;
    let server = project
        .wait_words(
            "web",
            "Stalled",
            true,
            &["Secure Boot needs firmware Uefi", "tiny"],
        )
        .await?;
    let status = server.status.context("no status")?;
    assert_eq!(status.state, Some(ServerState::Error));
    project.delete("web").await?;
    project.delete_flavor(&bios).await
}
