//! The agent's hypervisor driver against the libvirtd of a real node: the whole contract of `exercise`.
//!
//! libvirt is spoken to from this process, through the node's root as `/proc` shows it, so that the driver itself is
//! what is tried, and not an agent around it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use kilonova::{
    api::{
        flavor::{Firmware, Machine},
        guest::{GuestSpec, ImageContent, RootDisk, ServerIdentity},
        hypervisor::VirtType,
        image::DiskFormat,
        server::{PowerState, RestartPolicy},
        value::{Sha256, Size},
    },
    node::{
        disks::Disks,
        libvirt::{Libvirt, Settings},
        plan::{
            domain::{Datapath, DomainLayout},
            seed::Documents,
        },
        seed,
    },
};
use testbed::{Node, Part, Progress, Testbed, images, layout::CACHE, unique_name};

use super::{
    exercise::{Hands, exercise},
    nics,
};

const UID: &str = "4c1d3a0e-6a55-4a55-9d0c-5d1f6f1c1a77";
/// Where the guest's files lie, as the node names it.
const STATE: &str = "/var/lib/kilonova/exercise";
/// How a tiny guest's console begins the line that says that it is up.
const UP: &str = "kilonova-tiny: up ";

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_and_every_event_of_the_driver_holds_on_a_real_libvirt() -> Result<()> {
    let testbed = Testbed::builder(unique_name("libvirt"))
        .nodes(1)
        .guarded()
        .up()
        .await?;
    let hands = NodeHands {
        node: testbed.node("n1")?,
        libvirtd: testbed.part("n1/libvirtd")?,
    };
    let guest = guest();
    let layout = lay_out(&hands.node, &guest).await?;
    let socket = Path::new("/proc")
        .join(hands.node.init()?.to_string())
        .join("root/run/libvirt/libvirt-sock");
    let driver = Libvirt::new(Settings {
        uri: format!("qemu:///system?socket={}", socket.display()),
        virt_type: Some(VirtType::Qemu),
        observer: Arc::new(|_, _, _| ()),
    });
    let laps = exercise(&driver, &hands, &guest, &layout, UP).await?;
    for lap in laps {
        eprintln!("{:>9.1} ms  {}", lap.took.as_secs_f64() * 1e3, lap.what);
    }
    nics::exercise(&driver, &hands.node, &guest, &layout, UP)
        .await
        .context("NICs")?;
    drop(driver);
    testbed.down().await
}

/// Hands on a testbed's node.
struct NodeHands {
    node: Node,
    libvirtd: Part,
}

impl Hands for NodeHands {
    async fn kill_qemu(&self, domain: &str) -> Result<()> {
        let pid = self.qemu_pid(domain).await?;
        self.node.exec(["kill", "-9", &pid]).await.map(drop)
    }

    async fn qemu_pid(&self, domain: &str) -> Result<String> {
        let file = format!("/run/libvirt/qemu/{domain}.pid");
        let pid = self.node.exec(["cat", &file]).await?;
        Ok(pid.trim().to_owned())
    }

    async fn restart_libvirtd(&self) -> Result<()> {
        self.libvirtd.kill9().await?;
        self.libvirtd.start().await
    }

    fn path_of(&self, inner: &Path) -> PathBuf {
        self.node.path_of(inner)
    }
}

/// Puts the guest's disks where the node finds them.
async fn lay_out(node: &Node, guest: &GuestSpec) -> Result<DomainLayout> {
    let image = images::tiny(Path::new(CACHE), &Progress::silent()).await?;
    let folder = Disks::new(&node.path_of(STATE))?.guest(UID)?;
    let documents = Documents {
        user_data: b"#cloud-config\n{}\n".to_vec(),
        meta_data: br#"{"instance-id": "exercise", "local-hostname": "exercise"}"#.to_vec(),
        network_config: None,
    };
    seed::write(&folder, &documents).await?;
    let base = node.path_of(STATE).join("base.qcow2");
    std::fs::copy(&image.path, &base)
        .with_context(|| format!("failed to copy {}", image.path.display()))?;
    let inner = Path::new(STATE).join("guests").join(UID);
    let layout = DomainLayout {
        hypervisor: Some(UID.to_owned()),
        virt_type: VirtType::Qemu,
        architecture: "x86_64".to_owned(),
        root_overlay: inner.join("root.qcow2"),
        base_image: Path::new(STATE).join("base.qcow2"),
        base_format: guest.root_disk.image.format,
        seed: inner.join("seed.img"),
        console_log: inner.join("console.log"),
        datapath: Datapath::Userspace,
    };
    let words = [
        "qemu-img".to_owned(),
        "create".to_owned(),
        "-q".to_owned(),
        "-fqcow2".to_owned(),
        "-Fqcow2".to_owned(),
        "-b".to_owned(),
        layout.base_image.display().to_string(),
        layout.root_overlay.display().to_string(),
        guest.root_disk.size.as_bytes().to_string(),
    ];
    node.exec(words).await?;
    Ok(layout)
}

fn guest() -> GuestSpec {
    GuestSpec {
        server: ServerIdentity {
            namespace: "exercise".to_owned(),
            name: "exercise".to_owned(),
            uid: UID.to_owned(),
        },
        epoch: 1,
        power: PowerState::Running,
        restart_policy: RestartPolicy::Never,
        shutdown_grace_seconds: 60,
        vcpus: 1,
        memory_mib: 128,
        cpu_model: None,
        machine: Machine::Q35,
        firmware: Firmware::Bios,
        secure_boot: false,
        tpm: false,
        root_disk: RootDisk {
            size: Size::gib(1),
            image: ImageContent {
                name: "exercise/tiny".to_owned(),
                url: "http://nowhere.invalid/tiny.qcow2".to_owned(),
                sha256: any_digest(),
                format: DiskFormat::Qcow2,
            },
        },
        nics: Vec::new(),
        seed_secret: UID.to_owned(),
        metadata_tokens: kilonova::api::metadata::MetadataTokens::Optional,
        action: None,
        retired: false,
    }
}

/// Nobody downloads here, so any digest will do.
fn any_digest() -> Sha256 {
    "0".repeat(64).parse().expect("64 zeros are a digest")
}
