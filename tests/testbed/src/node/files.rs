//! A node's own files: what its daemons are configured by, and where they keep theirs.
//!
//! Everything lies below the node's root folder, laid out as the node sees it (see `init.sh`). Nothing of the
//! machine's own configuration is copied: a node starts from what stands here.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Gid, Mode, Uid};

use crate::record::write_file;
use crate::slot::Slot;

/// Folders that a node has its own of, and who owns them: root, or whoever owns the machine's.
const FOLDERS: &[(&str, Owner)] = &[
    ("etc/libvirt", Owner::Root),
    ("var/log/libvirt/qemu", Owner::Root),
    ("var/cache/libvirt", Owner::Root),
    ("var/lib/libvirt/images", Owner::Root),
    ("var/lib/libvirt/qemu", Owner::AsOnMachine),
    ("var/lib/swtpm-localca", Owner::AsOnMachine),
    ("var/lib/kilonova", Owner::Root),
    ("var/lib/openvswitch", Owner::Root),
    ("var/lib/cni", Owner::Root),
    ("var/lib/containerd", Owner::Root),
    ("var/lib/kubelet", Owner::Root),
    ("var/lib/volumes", Owner::Root),
    ("etc/kubernetes/cni", Owner::Root),
];

/// QEMU runs as an ordinary user, without capabilities, under seccomp, in a mount namespace of its own, and locks its
/// disks. The kernel has no mandatory access control where the tests run, so there is no security driver to rely on.
const QEMU_CONF: &str = r#"user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 1
remember_owner = 1
security_driver = "none"
seccomp_sandbox = 1
namespaces = ["mount"]
cgroup_controllers = []
lock_manager = "lockd"
max_core = 0
stdio_handler = "logd"
"#;

/// A guest's console is logged within bounds: at most (backups + 1) times the size, in bytes.
const VIRTLOGD_CONF: &str = r#"max_size = 1048576
max_backups = 3
log_outputs = "3:stderr"
"#;

const VIRTLOCKD_CONF: &str = "log_outputs = \"3:stderr\"\n";

enum Owner {
    Root,
    AsOnMachine,
}

/// Writes what is missing or different.
pub(super) fn write(root: &Path, node: &str, number: u8, nodes: u8, slot: Slot) -> Result<()> {
    for (path, owner) in FOLDERS {
        let folder = root.join(path);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        if let Owner::AsOnMachine = owner {
            own_as(&folder, &Path::new("/").join(path))?;
        }
    }
    let libvirt = root.join("etc/libvirt");
    write_file(&libvirt.join("qemu.conf"), QEMU_CONF.as_bytes())?;
    write_file(&libvirt.join("virtlogd.conf"), VIRTLOGD_CONF.as_bytes())?;
    write_file(&libvirt.join("virtlockd.conf"), VIRTLOCKD_CONF.as_bytes())?;
    write_file(
        &libvirt.join("libvirtd.conf"),
        libvirtd_conf(slot, number).as_bytes(),
    )?;
    let etc = root.join("etc");
    let machine_id = slot.host_uuid(number).replace('-', "");
    write_public(&etc.join("machine-id"), &format!("{machine_id}\n"))?;
    write_public(&etc.join("hostname"), &format!("{node}\n"))?;
    write_public(&etc.join("hosts"), &hosts(nodes, slot))?;
    // Nothing a node needs has a name outside of /etc/hosts, and a resolver that cannot be reached costs 40 s.
    write_public(&etc.join("resolv.conf"), "")
}

/// All that a daemon is configured by: when it changes, the daemon must be started again.
pub(super) fn configuration(root: &Path, daemon: &str) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for file in [&format!("{daemon}.conf"), "qemu.conf"] {
        let path = root.join("etc/libvirt").join(file);
        let found = std::fs::read(&path);
        all.extend(found.with_context(|| format!("failed to read {}", path.display()))?);
    }
    Ok(all)
}

fn libvirtd_conf(slot: Slot, number: u8) -> String {
    format!(
        "host_uuid = \"{}\"\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0700\"\n\
         log_outputs = \"3:stderr\"\n",
        slot.host_uuid(number)
    )
}

fn hosts(nodes: u8, slot: Slot) -> String {
    let mut hosts = String::from("127.0.0.1 localhost\n");
    for number in 1..=nodes {
        let _ = writeln!(
            hosts,
            "{} {}",
            slot.node_address(number),
            super::node_name(number)
        );
    }
    hosts
}

/// Writes a file that others than root may read, in place: a running node has the file itself mounted.
fn write_public(path: &Path, content: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    std::fs::write(path, content).with_context(|| format!("failed to write {}", path.display()))
}

fn own_as(folder: &Path, model: &Path) -> Result<()> {
    let context = || {
        format!(
            "failed to make {} like {}",
            folder.display(),
            model.display()
        )
    };
    let owner = rustix::fs::stat(model).with_context(context)?;
    let (user, group) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    rustix::fs::chown(folder, Some(user), Some(group)).with_context(context)?;
    rustix::fs::chmod(folder, Mode::from_raw_mode(owner.st_mode)).with_context(context)
}
