//! The filters: each says of one host whether a server can go there at all.
//!
//! A filter looks at one host only, and never at what another filter said. Their order is the order in which a
//! refused host is explained: first what an administrator decides, then what the host is, then what is free.

use super::{
    Request,
    amounts::{Amounts, Resource},
    host::Candidate,
};
use crate::api::flavor::Firmware;

/// One reason for which a host cannot take a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Filter {
    /// The host takes new servers: the administrator allows it, and its `Hypervisor` is not being deleted.
    Schedulable,
    /// The host is ready, and has told its capacity.
    Ready,
    /// Guests of the host are of the architecture that the server needs, if it needs a certain one.
    Architecture,
    /// The host carries every label of the server's node selector.
    NodeSelector,
    /// The host offers the board.
    Machine,
    /// The host offers the firmware. Every host has a BIOS.
    Firmware,
    /// The host offers Secure Boot, if the server needs it.
    SecureBoot,
    /// The host offers a virtual TPM, if the server needs it.
    Tpm,
    /// The host offers the CPU model, if the server needs a certain one.
    CpuModel,
    /// It has its place in the cloud's network, or the server needs none.
    Network,
    /// The host has that many virtual CPUs free, and that many threads at all.
    Vcpus,
    /// The host has that much memory free, and that much at all.
    Memory,
    /// The host has that much disk free, and that much at all.
    Disk,
}

impl Filter {
    /// Every filter, in the order in which they are asked.
    pub const ALL: [Self; 13] = [
        Self::Schedulable,
        Self::Ready,
        Self::Architecture,
        Self::NodeSelector,
        Self::Machine,
        Self::Firmware,
        Self::SecureBoot,
        Self::Tpm,
        Self::CpuModel,
        Self::Network,
        Self::Vcpus,
        Self::Memory,
        Self::Disk,
    ];

    /// The filter's name, one CamelCase word: for labels of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedulable => "Schedulable",
            Self::Ready => "Ready",
            Self::Architecture => "Architecture",
            Self::NodeSelector => "NodeSelector",
            Self::Machine => "Machine",
            Self::Firmware => "Firmware",
            Self::SecureBoot => "SecureBoot",
            Self::Tpm => "Tpm",
            Self::CpuModel => "CpuModel",
            Self::Network => "Network",
            Self::Vcpus => "Vcpus",
            Self::Memory => "Memory",
            Self::Disk => "Disk",
        }
    }

    /// The resource whose shortage this filter looks for, if it is one of those.
    pub fn resource(self) -> Option<Resource> {
        match self {
            Self::Vcpus => Some(Resource::Vcpus),
            Self::Memory => Some(Resource::Memory),
            Self::Disk => Some(Resource::Disk),
            Self::Schedulable
            | Self::Ready
            | Self::Architecture
            | Self::NodeSelector
            | Self::Machine
            | Self::Firmware
            | Self::SecureBoot
            | Self::Tpm
            | Self::CpuModel
            | Self::Network => None,
        }
    }

    /// The first filter that refuses this host, if one does.
    pub(super) fn first_to_refuse(
        request: &Request<'_>,
        demand: &Amounts,
        candidate: &Candidate<'_>,
    ) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|filter| !filter.accepts(request, demand, candidate))
    }

    fn accepts(self, request: &Request<'_>, demand: &Amounts, candidate: &Candidate<'_>) -> bool {
        let host = candidate.host;
        let needs = request.needs;
        let fits = |resource| demand.of(resource) <= candidate.room(resource);
        match self {
            Self::Schedulable => host.schedulable,
            Self::Ready => host.ready,
            Self::Architecture => {
                needs.architecture.is_none() || needs.architecture == host.architecture
            }
            Self::NodeSelector => request
                .node_selector
                .iter()
                .all(|(label, value)| host.labels.get(label) == Some(value)),
            Self::Machine => host.offers.machines.contains(&needs.machine),
            Self::Firmware => match needs.firmware {
                Firmware::Bios => true,
                Firmware::Uefi => host.offers.uefi,
            },
            Self::SecureBoot => !needs.secure_boot || host.offers.secure_boot,
            Self::Tpm => !needs.tpm || host.offers.tpm,
            Self::CpuModel => needs
                .cpu_model
                .as_ref()
                .is_none_or(|model| host.offers.cpu_models.binary_search(model).is_ok()),
            Self::Network => !needs.network || host.network,
            Self::Vcpus => fits(Resource::Vcpus),
            Self::Memory => fits(Resource::Memory),
            Self::Disk => fits(Resource::Disk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            fixtures::{MEDIUM, hypervisor, labels},
            host::{Host, Usage},
        },
        *,
    };
    use crate::{
        api::{
            flavor::Machine, hypervisor::Hypervisor, hypervisor::Offers, server::Resources,
            value::Size,
        },
        compute::plan::{fixtures::condition, needs::Needs},
    };

    /// One row: how the host and the server differ from a host that takes a server, and who should say no.
    struct Case {
        name: &'static str,
        host: fn(&mut Hypervisor),
        needs: Needs,
        selector: &'static [(&'static str, &'static str)],
        resources: Resources,
        taken: Amounts,
        refused_by: Option<Filter>,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                name: "a server like any other",
                host: |_| (),
                needs: Needs::default(),
                selector: &[],
                resources: MEDIUM,
                taken: Amounts::default(),
                refused_by: None,
            }
        }
    }

    fn check(cases: Vec<Case>) {
        for case in cases {
            let mut hypervisor = hypervisor(8, Size::gib(16), Size::gib(100));
            (case.host)(&mut hypervisor);
            let host = Host::from_hypervisor(&hypervisor);
            let usage = Usage {
                servers: 1,
                taken: case.taken,
            };
            let request = Request {
                uid: "uid",
                resources: case.resources,
                needs: &case.needs,
                node_selector: &labels(case.selector),
            };
            let demand = Amounts::taken(case.resources);
            let candidate = Candidate { host: &host, usage };
            let refused_by = Filter::first_to_refuse(&request, &demand, &candidate);
            assert_eq!(refused_by, case.refused_by, "{}", case.name);
        }
    }

    fn offers(hypervisor: &mut Hypervisor) -> &mut Offers {
        let status = hypervisor.status.get_or_insert_default();
        status.offers.get_or_insert_default()
    }

    fn connected(hypervisor: &mut Hypervisor, truth: &str) {
        let said = condition("NetworkReady", truth, "Said", "by the agent");
        let status = hypervisor.status.get_or_insert_default();
        status.conditions.push(said);
    }

    #[test]
    fn a_host_must_take_servers() {
        check(vec![
            Case::default(),
            Case {
                name: "closed",
                host: |hypervisor| hypervisor.spec.schedulable = false,
                refused_by: Some(Filter::Schedulable),
                ..Case::default()
            },
            Case {
                name: "never reported",
                host: |hypervisor| hypervisor.status = None,
                refused_by: Some(Filter::Ready),
                ..Case::default()
            },
            Case {
                name: "closed and never reported: the first filter speaks",
                host: |hypervisor| {
                    hypervisor.spec.schedulable = false;
                    hypervisor.status = None;
                },
                refused_by: Some(Filter::Schedulable),
                ..Case::default()
            },
        ]);
    }

    #[test]
    fn a_host_must_be_what_the_server_asks_for() {
        let architecture = |name: &str| Needs {
            architecture: Some(name.to_owned()),
            ..Needs::default()
        };
        check(vec![
            Case {
                name: "this architecture",
                needs: architecture("x86_64"),
                ..Case::default()
            },
            Case {
                name: "another architecture",
                needs: architecture("aarch64"),
                refused_by: Some(Filter::Architecture),
                ..Case::default()
            },
            Case {
                name: "a host of unknown architecture",
                host: |hypervisor| {
                    hypervisor.status.get_or_insert_default().architecture = None;
                },
                needs: architecture("x86_64"),
                refused_by: Some(Filter::Architecture),
                ..Case::default()
            },
            Case {
                name: "all labels",
                selector: &[("zone", "a"), ("disk", "ssd")],
                ..Case::default()
            },
            Case {
                name: "one label of two",
                selector: &[("disk", "ssd"), ("gpu", "yes")],
                refused_by: Some(Filter::NodeSelector),
                ..Case::default()
            },
            Case {
                name: "another value",
                selector: &[("zone", "b")],
                refused_by: Some(Filter::NodeSelector),
                ..Case::default()
            },
            Case {
                name: "a host without labels",
                host: |hypervisor| hypervisor.metadata.labels = None,
                selector: &[("zone", "a")],
                refused_by: Some(Filter::NodeSelector),
                ..Case::default()
            },
        ]);
    }

    #[test]
    fn a_host_must_offer_what_the_server_needs() {
        let everything = Needs {
            machine: Machine::Pc,
            firmware: Firmware::Uefi,
            secure_boot: true,
            tpm: true,
            cpu_model: Some("Nehalem".to_owned()),
            ..Needs::default()
        };
        let with_nics = Needs {
            network: true,
            ..Needs::default()
        };
        let without = |name, host, refused_by| Case {
            name,
            host,
            needs: everything.clone(),
            refused_by,
            ..Case::default()
        };
        check(vec![
            without("everything", |_| (), None),
            without(
                "no such machine",
                |hypervisor| offers(hypervisor).machines = vec![Machine::Q35],
                Some(Filter::Machine),
            ),
            without(
                "no UEFI",
                |hypervisor| offers(hypervisor).uefi = false,
                Some(Filter::Firmware),
            ),
            without(
                "no Secure Boot",
                |hypervisor| offers(hypervisor).secure_boot = false,
                Some(Filter::SecureBoot),
            ),
            without(
                "no TPM",
                |hypervisor| offers(hypervisor).tpm = false,
                Some(Filter::Tpm),
            ),
            without(
                "no such CPU model",
                |hypervisor| {
                    offers(hypervisor)
                        .cpu_models
                        .retain(|model| model != "Nehalem");
                },
                Some(Filter::CpuModel),
            ),
            Case {
                name: "a server with NICs on a host whose network works",
                host: |hypervisor| connected(hypervisor, "True"),
                needs: with_nics.clone(),
                ..Case::default()
            },
            Case {
                name: "a server with NICs on a host whose network is broken",
                host: |hypervisor| connected(hypervisor, "False"),
                needs: with_nics.clone(),
                refused_by: Some(Filter::Network),
                ..Case::default()
            },
            Case {
                name: "a server with NICs on a host that says nothing of its network",
                needs: with_nics,
                refused_by: Some(Filter::Network),
                ..Case::default()
            },
            Case {
                name: "a server without NICs on a host whose network is broken",
                host: |hypervisor| connected(hypervisor, "False"),
                ..Case::default()
            },
            Case {
                name: "a plain server needs a board only",
                host: |hypervisor| {
                    *offers(hypervisor) = Offers {
                        machines: vec![Machine::Q35],
                        ..Offers::default()
                    };
                },
                ..Case::default()
            },
            Case {
                name: "a host that offers nothing",
                host: |hypervisor| *offers(hypervisor) = Offers::default(),
                refused_by: Some(Filter::Machine),
                ..Case::default()
            },
        ]);
    }

    #[test]
    fn a_host_must_have_room() {
        let taken = Amounts {
            vcpus: 6,
            memory_mib: 12 * 1024,
            disk_mib: 80 * 1024,
        };
        check(vec![
            Case {
                name: "exactly what is left",
                taken,
                ..Case::default()
            },
            Case {
                name: "one virtual CPU too few",
                taken: Amounts { vcpus: 7, ..taken },
                refused_by: Some(Filter::Vcpus),
                ..Case::default()
            },
            Case {
                name: "one MiB of memory too little",
                taken: Amounts {
                    memory_mib: taken.memory_mib + 1,
                    ..taken
                },
                refused_by: Some(Filter::Memory),
                ..Case::default()
            },
            Case {
                name: "one MiB of disk too little",
                taken: Amounts {
                    disk_mib: taken.disk_mib + 1,
                    ..taken
                },
                refused_by: Some(Filter::Disk),
                ..Case::default()
            },
            Case {
                name: "who needs nothing fits on what is more than full",
                resources: Resources::default(),
                taken: Amounts {
                    vcpus: 99,
                    memory_mib: 1 << 40,
                    disk_mib: 1 << 40,
                },
                ..Case::default()
            },
        ]);
    }

    #[test]
    fn overcommit_makes_room_for_many_but_not_for_one_larger_than_the_host() {
        let generous: fn(&mut Hypervisor) = |hypervisor| {
            hypervisor.spec.overcommit.cpu_percent = 1000;
            hypervisor.spec.overcommit.memory_percent = 1000;
            hypervisor.spec.overcommit.disk_percent = 1000;
        };
        let whole = Resources {
            vcpus: 8,
            memory: Size::gib(16),
            disk: Size::gib(100),
        };
        let sized = |name, resources, refused_by| Case {
            name,
            host: generous,
            resources,
            taken: Amounts::taken(whole),
            refused_by,
            ..Case::default()
        };
        check(vec![
            sized("as large as the host", whole, None),
            sized(
                "more virtual CPUs than threads",
                Resources { vcpus: 9, ..whole },
                Some(Filter::Vcpus),
            ),
            sized(
                "more memory than there is",
                Resources {
                    memory: Size::mib(16 * 1024 + 1),
                    ..whole
                },
                Some(Filter::Memory),
            ),
            sized(
                "more disk than there is",
                Resources {
                    disk: Size::mib(100 * 1024 + 1),
                    ..whole
                },
                Some(Filter::Disk),
            ),
        ]);
    }

    #[test]
    fn filters_are_numbered_and_named_in_their_order() {
        for (index, filter) in Filter::ALL.into_iter().enumerate() {
            assert_eq!(filter as usize, index);
            assert_eq!(filter.as_str(), format!("{filter:?}"));
        }
    }
}
