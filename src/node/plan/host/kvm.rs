//! The condition `KvmReady`: guests can run with the processor's help.
//!
//! Whether they can is libvirt's to say, since it has tried; the device tells why not. Group membership is not looked
//! at: the host's user database cannot be seen from a pod.

use crate::{
    api::{condition::Fact, hypervisor::VirtType},
    node::plan::capabilities::QemuUser,
};

const KIND: &str = "KvmReady";

/// The device of KVM, `/dev/kvm` on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// There is none.
    Absent,
    /// It is there.
    There {
        /// Who may use it: the nine bits of read, write and execute.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// It cannot be looked at.
    Hidden(String),
}

/// Whether the device's mode lets somebody read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Granted,
    /// Only to members of its group.
    Members,
    Denied,
}

const READ_WRITE: u32 = 0o6;

pub(super) fn fact(
    device: &Device,
    libvirt: Option<(bool, Option<QemuUser>)>,
    demanded: Option<VirtType>,
) -> Fact {
    if let Some((true, _)) = libvirt {
        return Fact::yes(KIND, "Offered", "libvirt offers guests that run by KVM");
    }
    let meanwhile = match demanded {
        None => "Guests are emulated until then, which is slow",
        Some(VirtType::Qemu) => {
            "Guests are emulated in any case, since --virt-type qemu demands it"
        }
        Some(VirtType::Kvm) => "No guest can start until then, since --virt-type kvm demands it",
    };
    match (device, libvirt) {
        (Device::Absent, _) => absent(meanwhile),
        (Device::Hidden(why), _) => Fact::unknown(
            KIND,
            "Hidden",
            format!(
                "the agent cannot look at the host's /dev/kvm ({why}): --host-dev must name the host's /dev. {meanwhile}"
            ),
        ),
        (Device::There { .. }, None) => Fact::unknown(
            KIND,
            "LibvirtNotReady",
            "/dev/kvm is there; whether guests can use it is known when libvirt can run guests: see the condition \
             LibvirtReady",
        ),
        (Device::There { mode, uid, gid }, Some((_, user))) => {
            let access = user.map_or(Access::Members, |user| access(*mode, *uid, *gid, user));
            match access {
                Access::Granted => not_offered(meanwhile),
                Access::Members | Access::Denied => {
                    forbidden(*mode, *uid, *gid, user, access, meanwhile)
                }
            }
        }
    }
}

fn access(mode: u32, uid: u32, gid: u32, user: QemuUser) -> Access {
    let grants = |shift: u32| mode >> shift & READ_WRITE == READ_WRITE;
    if user.uid == 0
        || (user.uid == uid && grants(6))
        || (user.gid == gid && grants(3))
        || grants(0)
    {
        Access::Granted
    } else if grants(3) {
        Access::Members
    } else {
        Access::Denied
    }
}

fn absent(meanwhile: &str) -> Fact {
    Fact::no(
        KIND,
        "NoDevice",
        format!(
            "there is no /dev/kvm on the host: switch virtualisation on in its firmware (Intel VT-x, AMD-V or SVM), or \
             nested virtualisation if it is a virtual machine itself; then `modprobe kvm_intel` or `modprobe kvm_amd`, \
             whose errors `dmesg` tells. {meanwhile}"
        ),
    )
}

fn not_offered(meanwhile: &str) -> Fact {
    Fact::no(
        KIND,
        "NotOffered",
        format!(
            "QEMU may use the host's /dev/kvm, and libvirt offers no guests that run by it: libvirt may have looked \
             before it was there (`systemctl restart libvirtd`, or virtqemud); if that does not help, `virt-host-validate \
             qemu` and libvirt's journal say more. {meanwhile}"
        ),
    )
}

/// libvirt, which may open the device, throws away what it knows of QEMU again and again because QEMU could not.
fn forbidden(
    mode: u32,
    uid: u32,
    gid: u32,
    user: Option<QemuUser>,
    access: Access,
    meanwhile: &str,
) -> Fact {
    let who = user.map_or_else(
        || "QEMU's user".to_owned(),
        |user| format!("user {} and group {}", user.uid, user.gid),
    );
    let remedy = match access {
        Access::Members => format!(
            "make QEMU's user a member of group {gid}: `usermod -aG kvm libvirt-qemu` on Debian, `usermod -aG kvm qemu` \
             on Fedora and RHEL"
        ),
        Access::Granted | Access::Denied => {
            "open it to the group kvm, with QEMU's user in it: `chgrp kvm /dev/kvm && chmod 0660 /dev/kvm`, and for good \
             `echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0660\"' > /etc/udev/rules.d/65-kvm.rules`"
                .to_owned()
        }
    };
    Fact::no(
        KIND,
        "Forbidden",
        format!(
            "/dev/kvm is there (owner {uid}, group {gid}, mode {mode:04o}), and QEMU, which runs as {who}, cannot use \
             it: {remedy}; then `systemctl restart libvirtd` (or virtqemud). {meanwhile}, and libvirt may take 20 s over \
             each definition"
        ),
    )
}
