//! A real cloud image: systemd boots, and the real cloud-init applies user data, host name and keys.

use std::time::Duration;

use anyhow::{Context, Result};
use kilonova::api::key_pair::{KeyPair, KeyPairSpec};
use kilonova::api::server::{PowerState, ServerState};
use kilonova::api::value::{Reference, Size};
use testbed::{GuestImage, Seen, wait_for};

use crate::shared::{GuestOnNode, Project, grace, image, inline, testbed};

/// systemd and cloud-init under emulation, on a busy machine.
const DEBIAN_BOOT: Duration = Duration::from_mins(8);
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl alice";
/// Everything it says begins with a word that no other line has. Commands run in their order, the last one says so.
const USER_DATA: &str = r#"#cloud-config
write_files:
- path: /etc/kilonova-marker
  content: "written by cloud-init, <&> 'quoted'"
runcmd:
- 'echo "it-hostname: $(hostname)" > /dev/ttyS0'
- 'echo "it-marker: $(cat /etc/kilonova-marker)" > /dev/ttyS0'
- 'for file in /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys; do sed "s/^/it-key: /" $file; done > /dev/ttyS0'
- 'echo "it-instance: $(cloud-init query instance_id)" > /dev/ttyS0'
- 'echo "it-disk: $(blockdev --getsize64 /dev/vda)" > /dev/ttyS0'
- 'echo "it-sshd: $(systemctl is-active ssh ssh.socket | sort -u | tr "\n" " ")" > /dev/ttyS0'
- 'echo it-done: yes > /dev/ttyS0'
"#;

#[tokio::test]
async fn real_cloud_init_applies_user_data_host_name_and_key() -> Result<()> {
    let project = Project::shared().await?;
    let public_key = KEY.to_owned();
    let key = KeyPair::new("alice", KeyPairSpec { public_key });
    project.create(&key).await?;
    let debian = testbed().await?.image(GuestImage::Debian).await?;
    let mut object = image("debian", &debian.url, &debian.sha256)?;
    object.spec.min_memory = Some(Size::mib(512));
    project.create(&object).await?;
    let large = format!("{}-large", project.name);
    let disk = Size::gib(4);
    project
        .flavor(&large, |spec| {
            spec.memory = Size::mib(512);
            spec.disk = disk;
        })
        .await?;
    project
        .make("web", |spec| {
            spec.flavor.clone_from(&large);
            spec.image = Reference::new("debian");
            spec.hostname = Some("shop-front".to_owned());
            spec.key_pairs = vec!["alice".to_owned()];
            spec.user_data = Some(inline(USER_DATA));
            // Longer than anybody waits for it to be off: it is not cut off instead.
            spec.shutdown = Some(grace(300));
        })
        .await?;
    let server = project.wait_state("web", ServerState::Active).await?;
    let guest = GuestOnNode::of(project.testbed, &server)?;
    let console = wait_for("cloud-init to have run", DEBIAN_BOOT, async || {
        let console = guest.console();
        Ok(if console.contains("it-done: yes") {
            Seen::Wanted(console)
        } else {
            let last = console.lines().rev().find(|line| !line.trim().is_empty());
            Seen::NotYet(format!("{} bytes, the last line {last:?}", console.len()))
        })
    })
    .await?;
    let said = |word: &str| {
        let lines = console.lines().filter_map(|line| line.split_once(word));
        let texts: Vec<&str> = lines.map(|(_, text)| text.trim()).collect();
        texts
            .first()
            .copied()
            .map(str::to_owned)
            .with_context(|| format!("no {word} in\n{console}"))
    };
    assert_eq!(said("it-hostname:")?, "shop-front");
    assert_eq!(said("it-marker:")?, "written by cloud-init, <&> 'quoted'");
    assert_eq!(said("it-instance:")?, guest.uid);
    assert_eq!(said("it-disk:")?, disk.as_bytes().to_string());
    assert_eq!(said("it-sshd:")?.split(' ').next(), Some("active"));
    assert!(
        console
            .lines()
            .any(|line| line.contains("it-key: ") && line.contains(KEY)),
        "{console}"
    );

    // It heeds the power button, as a Debian does.
    project.power("web", PowerState::Stopped).await?;
    project.wait_state("web", ServerState::Shutoff).await?;
    project.delete_all_of("web", &guest).await?;
    project.delete_flavor(&large).await
}
