//! What each host lacks, in the very words that an administrator reads.

use super::*;
use crate::{
    api::{
        condition::Truth,
        hypervisor::{HostCpu, Offers},
        value::Size,
    },
    node::plan::capabilities::Host,
};

const USER: QemuUser = QemuUser {
    uid: 64055,
    gid: 64055,
};

fn facts(virt_types: &[VirtType]) -> HostFacts {
    HostFacts {
        host: Host {
            architecture: "x86_64".to_owned(),
            cpu: HostCpu::default(),
            numa: Vec::new(),
            vcpus: 4,
            memory: Size::gib(8),
            virt_types: virt_types.to_vec(),
            machines: Vec::new(),
            qemu_user: Some(USER),
        },
        virt_type: virt_types[0],
        offers: Offers::default(),
        libvirt_version: "9.0.0".to_owned(),
        qemu_version: "7.2.22".to_owned(),
    }
}

fn answers(virt_types: &[VirtType]) -> Libvirt {
    Libvirt::Answers(Box::new(facts(virt_types)))
}

fn folder() -> Folder {
    Folder {
        size: Size::gib(100),
        read_only: false,
        writable: true,
        mode: 0o755,
        uid: 0,
        gid: 0,
    }
}

fn storage(folder: Folder) -> Storage {
    Storage {
        path: "/var/lib/kilonova".into(),
        folder: Ok(folder),
        has_qemu_img: true,
        failure: None,
    }
}

/// A host that has everything.
fn well() -> Observed {
    Observed {
        libvirt: answers(&[VirtType::Kvm, VirtType::Qemu]),
        demanded: None,
        kvm: device(0o660, 0, 109),
        storage: storage(folder()),
        switch: Switch::Answers(network::tests::configured()),
        node: "n1".to_owned(),
        kernel: "6.1.0".to_owned(),
        images: Some(Vec::new()),
    }
}

fn device(mode: u32, uid: u32, gid: u32) -> Device {
    Device::There { mode, uid, gid }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Truth, reason and message of one condition.
fn said(observed: Observed, kind: &str) -> (String, String, String) {
    let status = report(&HypervisorStatus::default(), observed, at(1));
    let kinds: Vec<&str> = status.conditions.iter().map(|it| &*it.type_).collect();
    let all = [
        "LibvirtReady",
        "KvmReady",
        "StorageReady",
        "OpenVswitchReady",
        "NetworkReady",
    ];
    assert_eq!(kinds, all, "all are always there");
    let found = condition::find(&status.conditions, kind).unwrap().clone();
    (found.status, found.reason, found.message)
}

fn check(kind: &str, cases: Vec<(Observed, Truth, &str, &str)>) {
    for (observed, truth, reason, message) in cases {
        let expected = (
            truth.as_str().to_owned(),
            reason.to_owned(),
            message.to_owned(),
        );
        assert_eq!(said(observed, kind), expected);
    }
}

#[test]
fn a_host_that_has_everything_says_so() {
    for (kind, reason, message) in [
        (
            "LibvirtReady",
            "Answers",
            "libvirt answers, and can run guests",
        ),
        (
            "KvmReady",
            "Offered",
            "libvirt offers guests that run by KVM",
        ),
        (
            "StorageReady",
            "Usable",
            "disks can be made in /var/lib/kilonova",
        ),
        ("OpenVswitchReady", "Answers", "Open vSwitch answers"),
        (
            "NetworkReady",
            "Configured",
            "OVN knows the host by its name, and bridge br-int is there",
        ),
    ] {
        check(kind, vec![(well(), Truth::True, reason, message)]);
    }
}

fn silent(states: &[SocketState]) -> Observed {
    let sockets = sockets("qemu:///system").into_iter().zip(states);
    Observed {
        libvirt: Libvirt::Silent {
            why: "no answer".to_owned(),
            sockets: sockets
                .map(|(path, state)| Socket {
                    path,
                    state: state.clone(),
                })
                .collect(),
        },
        ..well()
    }
}

#[test]
fn libvirt_that_does_not_answer() {
    use SocketState::{Absent, Dead, Forbidden, Listens, Removed};
    let dead = "libvirt's socket /run/libvirt/libvirt-sock is there, and nobody listens at it: `systemctl restart \
                libvirtd.socket libvirtd` (on Fedora and RHEL virtqemud.socket virtqemud). Guests run on meanwhile";
    check(
        "LibvirtReady",
        vec![
            (
                silent(&[Absent, Absent]),
                Truth::False,
                "NotFound",
                "there is no libvirt on the host, or it is not enabled: there is no socket \
                 /run/libvirt/virtqemud-sock and no /run/libvirt/libvirt-sock. Debian: `apt install \
                 libvirt-daemon-system && systemctl enable --now libvirtd.socket`; Fedora, RHEL: `dnf install \
                 libvirt-daemon-kvm && systemctl enable --now virtqemud.socket`. An agent in a pod must have the host's \
                 /run/libvirt at the same path",
            ),
            (
                silent(&[Absent, Forbidden]),
                Truth::False,
                "Forbidden",
                "libvirt's socket /run/libvirt/libvirt-sock is there, and the agent may not use it: it must run as \
                 root, in a pod with the SELinux type spc_t if the host has SELinux; otherwise see SocketMode and \
                 SocketGroup of the socket's systemd unit, or unix_sock_rw_perms in /etc/libvirt/libvirtd.conf",
            ),
            (silent(&[Absent, Dead]), Truth::False, "NotRunning", dead),
            (
                silent(&[Removed, Removed]),
                Truth::False,
                "Removed",
                "the folder of libvirt's socket /run/libvirt/virtqemud-sock was removed on the host, and the agent's pod \
                 still has the old one, in which nothing can appear: see that libvirt runs, then delete the agent's pod \
                 of this node (`kubectl get pods -A -o wide -l app.kubernetes.io/component=agent`). Guests run on \
                 meanwhile",
            ),
            (
                silent(&[Listens, Absent]),
                Truth::False,
                "Silent",
                "libvirt's socket /run/libvirt/virtqemud-sock is there, and libvirt does not answer: look at `systemctl \
                 status libvirtd` and `journalctl -u libvirtd` (virtqemud on Fedora and RHEL), and restart it: guests \
                 run on meanwhile (no answer)",
            ),
            (
                silent(&[]),
                Truth::False,
                "Silent",
                "libvirt does not answer: is --libvirt-uri right, and does it run there? (no answer)",
            ),
        ],
    );
}

fn unfit(unfit: Unfit, demanded: Option<VirtType>) -> Observed {
    Observed {
        libvirt: Libvirt::Unfit(unfit),
        demanded,
        ..well()
    }
}

fn no_qemu(architecture: &str) -> Observed {
    let architecture = architecture.to_owned();
    unfit(Unfit::NoQemu { architecture }, None)
}

fn not_offered(wanted: VirtType) -> Observed {
    let qemu_user = Some(USER);
    unfit(Unfit::NotOffered { wanted, qemu_user }, Some(wanted))
}

#[test]
fn libvirt_that_answers_and_can_run_no_guests() {
    check(
        "LibvirtReady",
        vec![
            (
                no_qemu("x86_64"),
                Truth::False,
                "QemuMissing",
                "libvirt answers, but can run no guests of the host's architecture, x86_64: there is no QEMU, or libvirt \
                 cannot start it. Debian: `apt install qemu-system-x86`; Fedora, RHEL: `dnf install qemu-kvm`; then \
                 restart libvirt: `systemctl restart libvirtd` (virtqemud on Fedora and RHEL). Its journal says why it \
                 cannot start one that is installed",
            ),
            (
                not_offered(VirtType::Kvm),
                Truth::False,
                "KvmMissing",
                "guests shall run by KVM (--virt-type kvm), and libvirt offers only to emulate them: the condition \
                 KvmReady says what KVM lacks; with --virt-type auto they are emulated until it works",
            ),
            (
                not_offered(VirtType::Qemu),
                Truth::False,
                "EmulationMissing",
                "guests shall be emulated (--virt-type qemu), and the host's QEMU cannot do that: run the agent with \
                 --virt-type auto",
            ),
        ],
    );
    let arm = said(no_qemu("aarch64"), "LibvirtReady").2;
    assert!(arm.contains("`apt install qemu-system-arm`"), "{arm}");
}

/// A host on which libvirt can only emulate.
fn emulates(kvm: Device) -> Observed {
    Observed {
        libvirt: answers(&[VirtType::Qemu]),
        kvm,
        ..well()
    }
}

#[test]
fn kvm_that_is_not_there() {
    let what = "there is no /dev/kvm on the host: switch virtualisation on in its firmware (Intel VT-x, AMD-V or SVM), or \
                nested virtualisation if it is a virtual machine itself; then `modprobe kvm_intel` or `modprobe kvm_amd`, \
                whose errors `dmesg` tells. ";
    for (libvirt, demanded, meanwhile) in [
        (
            emulates(Device::Absent).libvirt,
            None,
            "Guests are emulated until then, which is slow",
        ),
        (
            silent(&[]).libvirt,
            None,
            "Guests are emulated until then, which is slow",
        ),
        (
            emulates(Device::Absent).libvirt,
            Some(VirtType::Qemu),
            "Guests are emulated in any case, since --virt-type qemu demands it",
        ),
        (
            not_offered(VirtType::Kvm).libvirt,
            Some(VirtType::Kvm),
            "No guest can start until then, since --virt-type kvm demands it",
        ),
    ] {
        let observed = Observed {
            libvirt,
            demanded,
            ..emulates(Device::Absent)
        };
        let message = format!("{what}{meanwhile}");
        check(
            "KvmReady",
            vec![(observed, Truth::False, "NoDevice", &message)],
        );
    }
}

#[test]
fn kvm_that_qemu_cannot_use() {
    let end = "then `systemctl restart libvirtd` (or virtqemud). Guests are emulated until then, which is slow, and libvirt \
               may take 20 s over each definition";
    let closed = "open it to the group kvm, with QEMU's user in it: `chgrp kvm /dev/kvm && chmod 0660 /dev/kvm`, and for \
                  good `echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0660\"' > /etc/udev/rules.d/65-kvm.rules`";
    let member = "make QEMU's user a member of group 109: `usermod -aG kvm libvirt-qemu` on Debian, `usermod -aG kvm \
                  qemu` on Fedora and RHEL";
    let who = "user 64055 and group 64055";
    for ((mode, uid, gid), remedy) in [
        ((0o600, 0, 0), closed),
        ((0o640, 0, 109), closed),
        // Belonging to its group is of no use when that may not write.
        ((0o640, 0, 64055), closed),
        ((0o660, 0, 109), member),
    ] {
        let message = format!(
            "/dev/kvm is there (owner {uid}, group {gid}, mode {mode:04o}), and QEMU, which runs as {who}, cannot use it: \
             {remedy}; {end}"
        );
        let observed = emulates(device(mode, uid, gid));
        check(
            "KvmReady",
            vec![(observed, Truth::False, "Forbidden", &message)],
        );
    }
}

#[test]
fn kvm_that_qemu_could_use() {
    let message = "QEMU may use the host's /dev/kvm, and libvirt offers no guests that run by it: libvirt may have looked \
                   before it was there (`systemctl restart libvirtd`, or virtqemud); if that does not help, \
                   `virt-host-validate qemu` and libvirt's journal say more. Guests are emulated until then, which is slow";
    for (mode, uid, gid) in [(0o666, 0, 109), (0o660, 0, 64055), (0o600, 64055, 0)] {
        let observed = emulates(device(mode, uid, gid));
        check(
            "KvmReady",
            vec![(observed, Truth::False, "NotOffered", message)],
        );
    }
}

#[test]
fn kvm_of_which_nothing_is_known() {
    check(
        "KvmReady",
        vec![
            (
                silent(&[SocketState::Dead]),
                Truth::Unknown,
                "LibvirtNotReady",
                "/dev/kvm is there; whether guests can use it is known when libvirt can run guests: see the condition \
                 LibvirtReady",
            ),
            (
                emulates(Device::Hidden("no permission".to_owned())),
                Truth::Unknown,
                "Hidden",
                "the agent cannot look at the host's /dev/kvm (no permission): --host-dev must name the host's /dev. \
                 Guests are emulated until then, which is slow",
            ),
        ],
    );
}

/// libvirt has tried; the agent has only looked, perhaps at the wrong place.
#[test]
fn what_libvirt_offers_counts_whatever_the_device_looks_like() {
    for kvm in [
        Device::Absent,
        Device::Hidden("no".to_owned()),
        device(0o600, 0, 0),
    ] {
        let observed = Observed { kvm, ..well() };
        assert_eq!(said(observed, "KvmReady").0, "True");
    }
}

#[test]
fn storage_that_cannot_be_used() {
    let with = |storage: Storage| Observed { storage, ..well() };
    let of = |change: fn(&mut Folder)| {
        let mut folder = folder();
        change(&mut folder);
        with(storage(folder))
    };
    let no = Truth::False;
    check(
        "StorageReady",
        vec![
            (
                with(Storage {
                    folder: Err("no such folder".to_owned()),
                    ..storage(folder())
                }),
                no,
                "NotFound",
                "the agent cannot look at its folder /var/lib/kilonova (no such folder): make it on the host; an agent \
                 in a pod must have it at the same path",
            ),
            (
                // Nobody may write there, root included.
                of(|folder| (folder.read_only, folder.writable) = (true, false)),
                no,
                "ReadOnly",
                "the file system of /var/lib/kilonova is mounted read-only: if errors of the disk made it so, `dmesg` \
                 tells them; else `mount -o remount,rw` it, or choose another folder by --state-dir",
            ),
            (
                of(|folder| folder.writable = false),
                no,
                "NotWritable",
                "the agent may not make files in /var/lib/kilonova: it must run as root, and own the folder (`chown \
                 root:root /var/lib/kilonova && chmod 0755 /var/lib/kilonova`)",
            ),
            (
                of(|folder| folder.mode = 0o750),
                no,
                "Closed",
                "QEMU cannot reach the disks in /var/lib/kilonova, which others may not pass through: `chmod o+x \
                 /var/lib/kilonova`",
            ),
            (
                of(|folder| folder.size = Size::mib(2047)),
                no,
                "TooSmall",
                "the file system of /var/lib/kilonova has 2047Mi, and 2Gi are the least: mount a larger one there, or \
                 choose another folder by --state-dir",
            ),
            (
                with(Storage {
                    has_qemu_img: false,
                    ..storage(folder())
                }),
                no,
                "QemuImgMissing",
                "the agent finds no qemu-img on its PATH, and cannot make disks: it is part of Kilonova's image; an \
                 agent without a pod needs it on the host. Debian: `apt install qemu-utils`; Fedora, RHEL: `dnf install \
                 qemu-img`",
            ),
            (
                with(Storage {
                    failure: Some("its lock is held".to_owned()),
                    ..storage(folder())
                }),
                no,
                "Failed",
                "the agent cannot work in /var/lib/kilonova: its lock is held",
            ),
        ],
    );
}

#[test]
fn who_may_pass_through_the_folder_reaches_the_disks() {
    let passes = |mode, gid, libvirt| {
        let folder = Folder {
            mode,
            gid,
            ..folder()
        };
        let observed = Observed {
            storage: storage(folder),
            libvirt,
            ..well()
        };
        said(observed, "StorageReady").0 == "True"
    };
    assert!(passes(0o711, 0, well().libvirt));
    assert!(passes(0o710, 64055, well().libvirt));
    assert!(!passes(0o710, 0, well().libvirt));
    // Nobody has said who QEMU runs as.
    assert!(passes(0o700, 0, silent(&[]).libvirt));
}

#[test]
fn sockets_follow_the_address() {
    let of = |uri| -> Vec<String> {
        let paths = sockets(uri).into_iter();
        paths.map(|path| path.display().to_string()).collect()
    };
    let usual = ["/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"];
    assert_eq!(of("qemu:///system"), usual);
    assert_eq!(of("qemu+unix:///system"), usual);
    assert_eq!(of("qemu:///system?mode=legacy&socket=/a/b"), ["/a/b"]);
    for elsewhere in ["qemu+ssh://h/system", "test:///default", "qemu:///session"] {
        assert_eq!(of(elsewhere), [""; 0], "{elsewhere}");
    }
}

#[test]
fn while_libvirt_is_silent_what_it_said_last_describes_the_host() {
    let first = report(&HypervisorStatus::default(), well(), at(1));
    assert_eq!(first.capacity.as_ref().unwrap().disk, Size::gib(100));
    let later = report(&first, silent(&[SocketState::Dead]), at(2));
    let expected = HypervisorStatus {
        conditions: later.conditions.clone(),
        ..first.clone()
    };
    assert_eq!(later, expected);
    assert_ne!(later.conditions, first.conditions);
    // An agent that cannot open its cache has nothing to say of images.
    let mut known = first;
    let image = serde_json::json!({ "sha256": "a".repeat(64), "format": "Raw", "state": "Ready" });
    known.images = vec![serde_json::from_value(image).unwrap()];
    let blind = Observed {
        images: None,
        ..well()
    };
    assert_eq!(report(&known, blind, at(3)).images, known.images);
}

#[test]
fn equal_trouble_makes_an_equal_report_at_any_later_time() {
    let trouble = || Observed {
        switch: network::tests::silent(SocketState::Absent),
        ..silent(&[SocketState::Absent])
    };
    let first = report(&HypervisorStatus::default(), trouble(), at(1));
    assert_eq!(report(&first, trouble(), at(900)), first);
}
