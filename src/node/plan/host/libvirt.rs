//! The condition `LibvirtReady`: libvirt answers, and can run guests.

use std::path::PathBuf;

use crate::{
    api::{condition::Fact, hypervisor::VirtType},
    node::plan::capabilities::Unfit,
};

use super::Libvirt;

const KIND: &str = "LibvirtReady";

/// One of libvirt's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// What comes of connecting to it.
    pub state: SocketState,
}

/// What comes of connecting to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// There is none.
    Absent,
    /// Nor can there ever be: the folder that the agent sees was removed on the host.
    Removed,
    /// The agent may not.
    Forbidden,
    /// Nobody listens.
    Dead,
    /// Somebody does, or may do.
    Listens,
}

/// The sockets by which libvirt at this address is reached, in the order in which its library tries them; none if it is
/// not this host's.
pub fn sockets(uri: &str) -> Vec<PathBuf> {
    let (address, query) = uri.split_once('?').unwrap_or((uri, ""));
    if !matches!(address, "qemu:///system" | "qemu+unix:///system") {
        return Vec::new();
    }
    let named = query
        .split('&')
        .find_map(|part| part.strip_prefix("socket="));
    match named {
        Some(path) => vec![path.into()],
        None => vec![
            "/run/libvirt/virtqemud-sock".into(),
            "/run/libvirt/libvirt-sock".into(),
        ],
    }
}

pub(super) fn fact(libvirt: &Libvirt) -> Fact {
    match libvirt {
        Libvirt::Answers(_) => Fact::yes(KIND, "Answers", "libvirt answers, and can run guests"),
        Libvirt::Unfit(unfit) => is_unfit(unfit),
        Libvirt::Silent { why, sockets } => is_silent(why, sockets),
    }
}

fn is_unfit(unfit: &Unfit) -> Fact {
    match unfit {
        Unfit::NoQemu { architecture } => Fact::no(
            KIND,
            "QemuMissing",
            format!(
                "libvirt answers, but can run no guests of the host's architecture, {architecture}: there is no QEMU, \
                 or libvirt cannot start it. Debian: `apt install {}`; Fedora, RHEL: `dnf install qemu-kvm`; then \
                 restart libvirt: `systemctl restart libvirtd` (virtqemud on Fedora and RHEL). Its journal says why it \
                 cannot start one that is installed",
                debian_package(architecture)
            ),
        ),
        Unfit::NotOffered {
            wanted: VirtType::Kvm,
            ..
        } => Fact::no(
            KIND,
            "KvmMissing",
            "guests shall run by KVM (--virt-type kvm), and libvirt offers only to emulate them: the condition KvmReady \
             says what KVM lacks; with --virt-type auto they are emulated until it works",
        ),
        Unfit::NotOffered {
            wanted: VirtType::Qemu,
            ..
        } => Fact::no(
            KIND,
            "EmulationMissing",
            "guests shall be emulated (--virt-type qemu), and the host's QEMU cannot do that: run the agent with \
             --virt-type auto",
        ),
    }
}

fn debian_package(architecture: &str) -> &'static str {
    match architecture {
        "x86_64" => "qemu-system-x86",
        "aarch64" => "qemu-system-arm",
        _ => "qemu-system",
    }
}

fn is_silent(why: &str, sockets: &[Socket]) -> Fact {
    let there = sockets
        .iter()
        .find(|socket| socket.state != SocketState::Absent);
    let Some(Socket { path, state }) = there else {
        return if sockets.is_empty() {
            elsewhere(why)
        } else {
            absent(sockets)
        };
    };
    let path = path.display();
    match state {
        SocketState::Removed => Fact::no(
            KIND,
            "Removed",
            format!(
                "the folder of libvirt's socket {path} was removed on the host, and the agent's pod still has the old \
                 one, in which nothing can appear: see that libvirt runs, then delete the agent's pod of this node \
                 (`kubectl get pods -A -o wide -l app.kubernetes.io/component=agent`). Guests run on meanwhile"
            ),
        ),
        SocketState::Forbidden => Fact::no(
            KIND,
            "Forbidden",
            format!(
                "libvirt's socket {path} is there, and the agent may not use it: it must run as root, in a pod with the \
                 SELinux type spc_t if the host has SELinux; otherwise see SocketMode and SocketGroup of the socket's \
                 systemd unit, or unix_sock_rw_perms in /etc/libvirt/libvirtd.conf"
            ),
        ),
        SocketState::Dead => Fact::no(
            KIND,
            "NotRunning",
            format!(
                "libvirt's socket {path} is there, and nobody listens at it: `systemctl restart libvirtd.socket \
                 libvirtd` (on Fedora and RHEL virtqemud.socket virtqemud). Guests run on meanwhile"
            ),
        ),
        SocketState::Listens | SocketState::Absent => Fact::no(
            KIND,
            "Silent",
            format!(
                "libvirt's socket {path} is there, and libvirt does not answer: look at `systemctl status libvirtd` and \
                 `journalctl -u libvirtd` (virtqemud on Fedora and RHEL), and restart it: guests run on meanwhile \
                 ({why})"
            ),
        ),
    }
}

fn absent(sockets: &[Socket]) -> Fact {
    let paths: Vec<String> = sockets
        .iter()
        .map(|socket| socket.path.display().to_string())
        .collect();
    Fact::no(
        KIND,
        "NotFound",
        format!(
            "there is no libvirt on the host, or it is not enabled: there is no socket {}. Debian: `apt install \
             libvirt-daemon-system && systemctl enable --now libvirtd.socket`; Fedora, RHEL: `dnf install \
             libvirt-daemon-kvm && systemctl enable --now virtqemud.socket`. An agent in a pod must have the host's \
             /run/libvirt at the same path",
            paths.join(" and no ")
        ),
    )
}

fn elsewhere(why: &str) -> Fact {
    let message =
        format!("libvirt does not answer: is --libvirt-uri right, and does it run there? ({why})");
    Fact::no(KIND, "Silent", message)
}
