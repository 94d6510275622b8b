//! Golden tests: a guest in, XML out, compared with `tests/golden/domain`. `UPDATE_GOLDEN=1 cargo test` rewrites.

use std::{env, fs, path::Path};

use crate::api::{
    flavor::{Firmware, Machine},
    guest::{GuestSpec, ImageContent, RootDisk, ServerIdentity},
    hypervisor::VirtType,
    image::DiskFormat,
    server::{PowerState, RestartPolicy},
    value::Size,
};

use crate::node::plan::fixtures;

use super::Datapath;
use super::{DomainLayout, Mark, domain};

const UID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

fn guest() -> GuestSpec {
    GuestSpec {
        server: ServerIdentity {
            namespace: "team-a".into(),
            name: "web".into(),
            uid: UID.into(),
        },
        epoch: 1,
        power: PowerState::Running,
        restart_policy: RestartPolicy::Always,
        shutdown_grace_seconds: 60,
        vcpus: 2,
        memory_mib: 512,
        cpu_model: None,
        machine: Machine::Q35,
        firmware: Firmware::Bios,
        secure_boot: false,
        tpm: false,
        root_disk: RootDisk {
            size: Size::gib(2),
            image: ImageContent {
                name: "team-a/debian".into(),
                url: "http://images/debian.qcow2".into(),
                sha256: "ab".repeat(32).parse().unwrap(),
                format: DiskFormat::Qcow2,
            },
        },
        nics: Vec::new(),
        seed_secret: "seed".into(),
        metadata_tokens: crate::api::metadata::MetadataTokens::Optional,
        action: None,
        retired: false,
    }
}

fn layout() -> DomainLayout {
    DomainLayout {
        hypervisor: Some("7c0f1a52-9d0e-4c5e-8f5b-3a1d2e4b6c70".into()),
        virt_type: VirtType::Qemu,
        architecture: "x86_64".into(),
        root_overlay: "/var/lib/kilonova/guests/web/root.qcow2".into(),
        base_image: "/var/lib/kilonova/images/base.qcow2".into(),
        base_format: DiskFormat::Qcow2,
        seed: "/var/lib/kilonova/guests/web/seed.img".into(),
        console_log: "/var/log/kilonova/web.log".into(),
        datapath: Datapath::Kernel,
    }
}

/// Compares with a golden file, or rewrites it.
fn check(name: &str, guest: &GuestSpec, layout: &DomainLayout) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/domain")
        .join(name);
    let actual = domain(guest, layout).to_xml().unwrap() + "\n";
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        actual,
        expected,
        "{} differs; UPDATE_GOLDEN=1 cargo test rewrites it",
        path.display()
    );
}

#[test]
fn an_emulated_bios_guest() {
    check("bios-q35.xml", &guest(), &layout());
}

#[test]
fn an_old_board_with_a_raw_image_and_a_tpm() {
    let guest = GuestSpec {
        machine: Machine::Pc,
        tpm: true,
        ..guest()
    };
    let layout = DomainLayout {
        base_format: DiskFormat::Raw,
        base_image: "/var/lib/kilonova/images/base.raw".into(),
        ..layout()
    };
    check("bios-pc.xml", &guest, &layout);
}

#[test]
fn nics_are_on_the_integration_bridge_in_their_order() {
    let guest = GuestSpec {
        nics: vec![fixtures::nic(2), fixtures::nic(1)],
        ..guest()
    };
    check("nics.xml", &guest, &layout());
    let ports = super::ports(&domain(&guest, &layout()).to_xml().unwrap()).unwrap();
    let expected: Vec<&str> = guest.nics.iter().map(|nic| nic.port.as_str()).collect();
    assert_eq!(ports, expected);
}

#[test]
fn uefi_without_secure_boot() {
    let guest = GuestSpec {
        firmware: Firmware::Uefi,
        ..guest()
    };
    check("uefi.xml", &guest, &layout());
}

#[test]
fn uefi_with_secure_boot_and_a_tpm() {
    let guest = GuestSpec {
        firmware: Firmware::Uefi,
        secure_boot: true,
        tpm: true,
        ..guest()
    };
    check("uefi-secure-boot-tpm.xml", &guest, &layout());
}

#[test]
fn hardware_virtualisation_shows_the_hosts_model() {
    let layout = DomainLayout {
        virt_type: VirtType::Kvm,
        ..layout()
    };
    check("kvm-host-model.xml", &guest(), &layout);
}

#[test]
fn a_flavor_may_name_the_cpu_model() {
    let guest = GuestSpec {
        cpu_model: Some("Skylake-Server-v4".into()),
        vcpus: 255,
        memory_mib: 16 * 1024 * 1024,
        ..guest()
    };
    let layout = DomainLayout {
        virt_type: VirtType::Kvm,
        ..layout()
    };
    check("cpu-model.xml", &guest, &layout);
}

#[test]
fn no_name_breaks_out_of_its_place() {
    let guest = GuestSpec {
        server: ServerIdentity {
            namespace: "a'b\"c".into(),
            name: "</title><devices>&amp;]]>\n\r\t\u{0}\u{1b}\u{2028}<!-- ü 🦀".into(),
            uid: UID.into(),
        },
        cpu_model: Some("</model><x a='\"'>&".into()),
        ..guest()
    };
    let layout = DomainLayout {
        root_overlay: "/tmp/'\" /><evil a=\"&lt;\"/root.qcow2".into(),
        ..layout()
    };
    check("hostile-names.xml", &guest, &layout);
}

#[test]
fn the_mark_follows_what_is_defined_and_nothing_else() {
    let mark = |guest: &GuestSpec| domain(guest, &layout()).mark().unwrap();
    let first = mark(&guest());
    let rebound = mark(&GuestSpec {
        epoch: 2,
        power: PowerState::Stopped,
        shutdown_grace_seconds: 1,
        ..guest()
    });
    assert_eq!(rebound.epoch, 2);
    assert_eq!(rebound.digest, first.digest);
    let grown = mark(&GuestSpec {
        memory_mib: 1024,
        ..guest()
    });
    assert_ne!(grown.digest, first.digest);
}

#[test]
fn a_mark_is_read_as_libvirt_gives_it_back() {
    let mark = |hypervisor: Option<&str>| Mark {
        hypervisor: hypervisor.map(str::to_owned),
        epoch: 7,
        digest: "abc".into(),
    };
    let table = [
        (None, r#"<guest epoch="7" digest="abc"/>"#),
        (
            Some("h"),
            r#"<kilonova:guest xmlns:kilonova="https://kilonova.dev/ns/guest/1" hypervisor="h" epoch="7" digest="abc"/>"#,
        ),
    ];
    for (hypervisor, xml) in table {
        assert_eq!(Mark::from_xml(xml).unwrap(), mark(hypervisor));
    }
    for bad in ["", "<guest/>", r#"<guest epoch="x" digest="abc"/>"#] {
        assert!(Mark::from_xml(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_definition_says_whose_it_is() {
    let xml = domain(&guest(), &layout()).to_xml().unwrap();
    assert_eq!(super::uuid(&xml).as_deref(), Some(UID));
    for broken in ["", "<domain/>", "<domain><uuid>"] {
        assert_eq!(super::uuid(broken), None, "{broken}");
    }
}
