//! Hypervisors and requests for the scheduler's tests. Must never be part of a build that runs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Host, Request};
use crate::{
    api::{
        flavor::Machine,
        hypervisor::{Hypervisor, HypervisorSpec, HypervisorStatus, Offers, Overcommit, Reserved},
        server::Resources,
        value::Size,
    },
    compute::plan::needs::Needs,
};

/// A server of a usual size.
pub const MEDIUM: Resources = Resources {
    vcpus: 2,
    memory: Size::gib(4),
    disk: Size::gib(20),
};

/// A ready hypervisor that offers everything, reserves nothing and promises no more than it has.
pub fn hypervisor(vcpus: u16, memory: Size, disk: Size) -> Hypervisor {
    let spec = HypervisorSpec {
        schedulable: true,
        overcommit: Overcommit {
            cpu_percent: 100,
            ..Overcommit::default()
        },
        reserved: Reserved {
            memory: Size::bytes(0),
            disk: Size::bytes(0),
        },
    };
    let mut hypervisor = Hypervisor::new("node", spec);
    hypervisor.metadata.labels = Some(labels(&[("zone", "a"), ("disk", "ssd")]));
    hypervisor.status = Some(HypervisorStatus {
        capacity: Some(Resources {
            vcpus,
            memory,
            disk,
        }),
        architecture: Some("x86_64".to_owned()),
        offers: Some(Offers {
            machines: vec![Machine::Q35, Machine::Pc],
            uefi: true,
            secure_boot: true,
            tpm: true,
            cpu_models: ["Westmere", "Nehalem", "Penryn"].map(str::to_owned).into(),
        }),
        conditions: vec![Condition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: "Ready".to_owned(),
            message: String::new(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }],
        ..HypervisorStatus::default()
    });
    hypervisor
}

/// The same as a host.
pub fn host(vcpus: u16, memory: Size, disk: Size) -> Host {
    Host::from_hypervisor(&hypervisor(vcpus, memory, disk))
}

/// Labels from pairs.
pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
        .collect()
}

/// What a server asks for, owned, so that tests can make it in one expression.
pub struct Wish {
    pub resources: Resources,
    pub needs: Needs,
    pub node_selector: BTreeMap<String, String>,
}

impl Wish {
    pub fn of(resources: Resources) -> Self {
        Self {
            resources,
            needs: Needs::default(),
            node_selector: BTreeMap::new(),
        }
    }

    pub fn request<'a>(&'a self, uid: &'a str) -> Request<'a> {
        Request {
            uid,
            resources: self.resources,
            needs: &self.needs,
            node_selector: &self.node_selector,
        }
    }
}
