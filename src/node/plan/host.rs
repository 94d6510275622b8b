//! What a host is, as its `Hypervisor` tells it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{
        condition::{self, Fact},
        hypervisor::{HypervisorStatus, Versions},
        image::CachedImage,
        server::Resources,
        value::Size,
    },
    node::plan::capabilities::HostFacts,
};

/// What was read of the host.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What the hypervisor says, or why it says nothing.
    pub facts: Result<HostFacts, String>,
    /// Size of the file system that holds guests.
    pub disk: Size,
    /// The kernel's release.
    pub kernel: String,
    /// The images in the cache.
    pub images: Vec<CachedImage>,
}

/// The agent's part of the hypervisor's status: all but the condition `Ready`.
///
/// While libvirt is silent, what it said last still describes the host.
pub fn report(before: &HypervisorStatus, observed: Observed, now: Timestamp) -> HypervisorStatus {
    let Observed {
        facts,
        disk,
        kernel,
        images,
    } = observed;
    let fact = match &facts {
        Ok(_) => Fact::yes("LibvirtReady", "Answers", "libvirt answers"),
        Err(why) => Fact::no(
            "LibvirtReady",
            "Silent",
            format!("{why}: is libvirtd running on the node, and may the agent use its socket?"),
        ),
    };
    let conditions: Vec<Condition> = condition::merge(&before.conditions, vec![fact], None, now);
    let Ok(HostFacts {
        host,
        virt_type,
        offers,
        libvirt_version,
        qemu_version,
    }) = facts
    else {
        return HypervisorStatus {
            images,
            conditions,
            // That one is the operator's to say.
            observed_generation: None,
            ..before.clone()
        };
    };
    HypervisorStatus {
        capacity: Some(Resources {
            vcpus: u16::try_from(host.vcpus).unwrap_or(u16::MAX),
            memory: host.memory,
            disk,
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
            kernel,
        }),
        images,
        observed_generation: None,
        conditions,
    }
}
