//! What a host is, as its `Hypervisor` tells it, and what it lacks, with what an administrator does about it.
//!
//! Every condition is always there and holds when all is well. A message names the thing that is wrong and the
//! commands that mend it, by Debian's names and by Fedora's; it holds no figure that moves by itself, so that equal
//! trouble makes an equal report.

use jiff::Timestamp;

use crate::{
    api::{
        condition,
        hypervisor::{HypervisorStatus, Versions, VirtType},
        image::CachedImage,
        server::Resources,
    },
    node::plan::capabilities::{HostFacts, QemuUser, Unfit},
};

pub use self::{
    kvm::Device,
    libvirt::{Socket, SocketState, sockets},
    network::{Facts as SwitchFacts, Switch, trouble},
    storage::{Folder, Storage},
};

mod kvm;
mod libvirt;
mod network;
mod storage;
#[cfg(test)]
mod tests;

/// What was read of the host.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What libvirt says, or why it says nothing.
    pub libvirt: Libvirt,
    /// How guests shall run, if not as fast as they can.
    pub demanded: Option<VirtType>,
    /// The device of KVM.
    pub kvm: Device,
    /// Where guests are kept.
    pub storage: Storage,
    /// What the host's switch says.
    pub switch: Switch,
    /// The node's name.
    pub node: String,
    /// The kernel's release.
    pub kernel: String,
    /// The images in the cache, once it was opened.
    pub images: Option<Vec<CachedImage>>,
}

/// What libvirt says of the host.
#[derive(Clone, Debug)]
pub enum Libvirt {
    /// It runs guests.
    Answers(Box<HostFacts>),
    /// It answers, and cannot run guests as they shall run.
    Unfit(Unfit),
    /// It does not answer.
    Silent {
        /// What was said instead.
        why: String,
        /// Its sockets, the ones that it could be reached by; none if it is not this host's.
        sockets: Vec<Socket>,
    },
}

impl Libvirt {
    /// Whether it offers KVM, and who QEMU runs as.
    fn offers_kvm(&self) -> Option<(bool, Option<QemuUser>)> {
        match self {
            Self::Answers(facts) => {
                let offered = facts.host.virt_types.contains(&VirtType::Kvm);
                Some((offered, facts.host.qemu_user))
            }
            Self::Unfit(Unfit::NotOffered { qemu_user, wanted }) => {
                Some((*wanted != VirtType::Kvm, *qemu_user))
            }
            Self::Unfit(Unfit::NoQemu { .. }) | Self::Silent { .. } => None,
        }
    }
}

/// Where Open vSwitch listens, on every host.
pub const OPEN_VSWITCH_SOCKET: &str = "/run/openvswitch/db.sock";

/// The agent's part of the hypervisor's status: all but the condition `Ready`.
///
/// While libvirt is silent, what it said last still describes the host.
pub fn report(before: &HypervisorStatus, observed: Observed, now: Timestamp) -> HypervisorStatus {
    let facts = vec![
        libvirt::fact(&observed.libvirt),
        kvm::fact(
            &observed.kvm,
            observed.libvirt.offers_kvm(),
            observed.demanded,
        ),
        storage::fact(&observed.storage, qemu_user(&observed.libvirt)),
    ];
    let facts = facts
        .into_iter()
        .chain(network::facts(&observed.switch, &observed.node));
    let conditions = condition::merge(&before.conditions, facts.collect(), None, now);
    let before = HypervisorStatus {
        images: observed.images.unwrap_or_else(|| before.images.clone()),
        network: network::standing(&observed.switch),
        conditions,
        // That one is the operator's to say.
        observed_generation: None,
        ..before.clone()
    };
    let Libvirt::Answers(facts) = observed.libvirt else {
        return before;
    };
    let HostFacts {
        host,
        virt_type,
        offers,
        libvirt_version,
        qemu_version,
    } = *facts;
    HypervisorStatus {
        capacity: Some(Resources {
            vcpus: u16::try_from(host.vcpus).unwrap_or(u16::MAX),
            memory: host.memory,
            disk: observed.storage.size(),
        }),
        cpu: Some(host.cpu),
        numa: host.numa,
        architecture: Some(host.architecture),
        virt_type: Some(virt_type),
        offers: Some(offers),
        versions: Some(Versions {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            libvirt: libvirt_version,
            qemu: qemu_version,
            kernel: observed.kernel,
        }),
        ..before
    }
}

fn qemu_user(libvirt: &Libvirt) -> Option<QemuUser> {
    libvirt.offers_kvm().and_then(|(_, user)| user)
}
