//! A hypervisor as the scheduler sees it: whether it takes servers, what it offers, how much may be promised.
//!
//! Made from a `Hypervisor` and nothing else. It knows nothing of what is bound to it: that is the view's account,
//! which outlives the `Hypervisor` object.

use std::collections::BTreeMap;

use super::amounts::{Amounts, Resource, whole_mib};
use crate::api::{
    condition,
    hypervisor::{Hypervisor, HypervisorStatus, Offers, Overcommit, Reserved},
    server::Resources,
};

/// A hypervisor as the scheduler sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    pub(super) labels: BTreeMap<String, String>,
    /// Whether the administrator lets new servers come, and the object is not being deleted.
    pub(super) schedulable: bool,
    /// Whether servers can run here now, and it is known how many.
    pub(super) ready: bool,
    /// Whether it has its place in the cloud's network.
    pub(super) network: bool,
    pub(super) architecture: Option<String>,
    /// Lists are sorted: to be searched quickly, and to be equal in whatever order the agent named them.
    pub(super) offers: Offers,
    /// The most that one server may have: what the host has, less its reserve, without overcommit. A server may
    /// overcommit against others but not against itself (Nova's rule): it would only be slow.
    pub(super) physical: Amounts,
    /// The most that all servers together may have: (total − reserved) × overcommit, in Nova's order.
    pub(super) promised: Amounts,
}

impl Host {
    /// What the scheduler makes of a hypervisor. One that has not told its capacity yet is not ready.
    pub fn from_hypervisor(hypervisor: &Hypervisor) -> Self {
        let unknown = HypervisorStatus::default();
        let status = hypervisor.status.as_ref().unwrap_or(&unknown);
        let metadata = &hypervisor.metadata;
        let physical = less_reserve(
            status.capacity.unwrap_or_default(),
            &hypervisor.spec.reserved,
        );
        let mut offers = status.offers.clone().unwrap_or_default();
        offers.machines.sort_unstable();
        offers.cpu_models.sort_unstable();
        Self {
            labels: metadata.labels.clone().unwrap_or_default(),
            schedulable: hypervisor.spec.schedulable && metadata.deletion_timestamp.is_none(),
            network: condition::holds(&status.conditions, "NetworkReady"),
            ready: status.capacity.is_some() && condition::holds(&status.conditions, "Ready"),
            architecture: status.architecture.clone(),
            offers,
            physical,
            promised: overcommitted(physical, &hypervisor.spec.overcommit),
        }
    }

    /// Whether this host might take a server that the same host as it was `before` refused.
    ///
    /// Errs on the side of yes: a question too many costs one decision, one too few leaves a server waiting.
    pub(super) fn may_take_more_than(&self, before: &Self) -> bool {
        let open = |host: &Self| host.schedulable && host.ready;
        if !open(self) {
            return false;
        }
        !open(before)
            || self.promised.exceeds(&before.promised)
            || self.physical.exceeds(&before.physical)
            || self.labels != before.labels
            || self.offers != before.offers
            || self.architecture != before.architecture
            || self.network && !before.network
    }
}

fn less_reserve(capacity: Resources, reserved: &Reserved) -> Amounts {
    let Reserved { memory, disk } = *reserved;
    let total = Amounts {
        vcpus: u64::from(capacity.vcpus),
        memory_mib: whole_mib(capacity.memory),
        disk_mib: whole_mib(capacity.disk),
    };
    total.minus(Amounts {
        vcpus: 0,
        memory_mib: memory.as_mib(),
        disk_mib: disk.as_mib(),
    })
}

fn overcommitted(physical: Amounts, overcommit: &Overcommit) -> Amounts {
    let Overcommit {
        cpu_percent,
        memory_percent,
        disk_percent,
    } = *overcommit;
    Amounts {
        vcpus: percent_of(physical.vcpus, cpu_percent),
        memory_mib: percent_of(physical.memory_mib, memory_percent),
        disk_mib: percent_of(physical.disk_mib, disk_percent),
    }
}

/// Rounded down. The product of 64 and 32 bits always fits; what is too large after that is as good as endless.
fn percent_of(amount: u64, percent: u32) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// What is bound to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of servers.
    pub servers: u32,
    /// What they take together.
    pub taken: Amounts,
}

impl Usage {
    pub(super) fn with(self, amounts: Amounts) -> Self {
        Self {
            servers: self.servers.saturating_add(1),
            taken: self.taken.plus(amounts),
        }
    }

    pub(super) fn without(self, amounts: Amounts) -> Self {
        Self {
            servers: self.servers.saturating_sub(1),
            taken: self.taken.minus(amounts),
        }
    }
}

/// A host that a server might go to, and what the host carries already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub host: &'a Host,
    pub usage: Usage,
}

impl Candidate<'_> {
    /// The most of a resource that one more server could have here, with the others where they are.
    pub fn room(&self, resource: Resource) -> u64 {
        let free = self
            .host
            .promised
            .of(resource)
            .saturating_sub(self.usage.taken.of(resource));
        free.min(self.host.physical.of(resource))
    }

    /// The most of a resource that one server could have here, if it were alone.
    pub fn room_if_alone(&self, resource: Resource) -> u64 {
        let Host {
            promised, physical, ..
        } = self.host;
        promised.of(resource).min(physical.of(resource))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::{super::fixtures::hypervisor, *};
    use crate::api::{flavor::Machine, value::Size};

    fn host(change: impl FnOnce(&mut Hypervisor)) -> Host {
        let mut hypervisor = hypervisor(8, Size::gib(16), Size::gib(100));
        change(&mut hypervisor);
        Host::from_hypervisor(&hypervisor)
    }

    fn status(hypervisor: &mut Hypervisor) -> &mut HypervisorStatus {
        hypervisor.status.get_or_insert_default()
    }

    #[test]
    fn the_reserve_goes_off_before_the_overcommit() {
        let host = host(|hypervisor| {
            hypervisor.spec.reserved = Reserved {
                memory: Size::gib(1),
                disk: Size::gib(10),
            };
            hypervisor.spec.overcommit = Overcommit {
                cpu_percent: 400,
                memory_percent: 150,
                disk_percent: 50,
            };
        });
        let physical = Amounts {
            vcpus: 8,
            memory_mib: 15 * 1024,
            disk_mib: 90 * 1024,
        };
        let promised = Amounts {
            vcpus: 32,
            memory_mib: 22 * 1024 + 512,
            disk_mib: 45 * 1024,
        };
        assert_eq!((host.physical, host.promised), (physical, promised));
    }

    #[test]
    fn a_reserve_larger_than_the_host_leaves_nothing() {
        let host = host(|hypervisor| hypervisor.spec.reserved.memory = Size::gib(17));
        assert_eq!((host.physical.memory_mib, host.promised.memory_mib), (0, 0));
    }

    #[test]
    fn absurd_capacity_does_not_overflow() {
        let host = host(|hypervisor| {
            hypervisor.spec.overcommit.memory_percent = u32::MAX;
            let endless = Resources {
                memory: Size::bytes(u64::MAX),
                ..Resources::default()
            };
            status(hypervisor).capacity = Some(endless);
        });
        assert_eq!(host.promised.memory_mib, u64::MAX);
    }

    #[test]
    fn a_host_is_ready_when_it_says_so_and_has_told_its_capacity() {
        assert!(host(|_| ()).ready);
        assert!(!host(|hypervisor| hypervisor.status = None).ready);
        assert!(!host(|hypervisor| status(hypervisor).capacity = None).ready);
        assert!(!host(|hypervisor| status(hypervisor).conditions.clear()).ready);
        for truth in ["False", "Unknown"] {
            let doubtful = host(|hypervisor| {
                status(hypervisor).conditions[0].status = truth.to_owned();
            });
            assert!(!doubtful.ready, "{truth}");
        }
    }

    #[test]
    fn a_host_on_its_way_out_is_not_schedulable() {
        assert!(host(|_| ()).schedulable);
        assert!(!host(|hypervisor| hypervisor.spec.schedulable = false).schedulable);
        let deleted = host(|hypervisor| {
            let when = Time(jiff::Timestamp::UNIX_EPOCH);
            hypervisor.metadata.deletion_timestamp = Some(when);
        });
        assert!(!deleted.schedulable);
    }

    #[test]
    fn the_order_of_offers_means_nothing() {
        let reversed = host(|hypervisor| {
            let offers = status(hypervisor).offers.get_or_insert_default();
            offers.machines.reverse();
            offers.cpu_models.reverse();
        });
        assert_eq!(reversed, host(|_| ()));
    }

    /// Each change makes room where `before` had less, and none when undone, unless it goes both ways.
    #[test]
    fn room_appears_when_a_host_opens_grows_or_changes_its_face() {
        let base = host(|_| ());
        let smaller: [fn(&mut Hypervisor); 8] = [
            |hypervisor| hypervisor.spec.schedulable = false,
            |hypervisor| status(hypervisor).conditions.clear(),
            |hypervisor| status(hypervisor).capacity = None,
            |hypervisor| hypervisor.spec.overcommit.cpu_percent = 99,
            |hypervisor| hypervisor.spec.overcommit.memory_percent = 99,
            |hypervisor| hypervisor.spec.overcommit.disk_percent = 99,
            |hypervisor| hypervisor.spec.reserved.memory = Size::mib(1),
            |hypervisor| hypervisor.spec.reserved.disk = Size::mib(1),
        ];
        for (index, change) in smaller.into_iter().enumerate() {
            let small = host(change);
            assert!(base.may_take_more_than(&small), "{index}");
            assert!(!small.may_take_more_than(&base), "{index}");
        }
        let other: [fn(&mut Hypervisor); 4] = [
            |hypervisor| hypervisor.metadata.labels = None,
            |hypervisor| status(hypervisor).architecture = None,
            |hypervisor| status(hypervisor).offers = None,
            |hypervisor| {
                let offers = status(hypervisor).offers.get_or_insert_default();
                offers.machines = vec![Machine::Pc];
            },
        ];
        for (index, change) in other.into_iter().enumerate() {
            let different = host(change);
            assert!(base.may_take_more_than(&different), "{index}");
            assert!(different.may_take_more_than(&base), "{index}");
        }
        assert!(!base.may_take_more_than(&base));
    }

    /// What overcommits least can still allow the largest single server.
    #[test]
    fn room_for_one_server_can_grow_while_the_whole_does_not() {
        let crowded = host(|hypervisor| {
            hypervisor.spec.overcommit.memory_percent = 200;
            hypervisor.spec.reserved.memory = Size::gib(8);
        });
        let roomy = host(|_| ());
        assert_eq!(crowded.promised.memory_mib, roomy.promised.memory_mib);
        assert!(roomy.may_take_more_than(&crowded));
        assert!(!crowded.may_take_more_than(&roomy));
    }

    #[test]
    fn room_for_one_server_is_what_is_free_but_never_more_than_the_host() {
        let host = host(|hypervisor| hypervisor.spec.overcommit.cpu_percent = 400);
        let room = |vcpus: u64| {
            let taken = Amounts {
                vcpus,
                ..Amounts::default()
            };
            let usage = Usage { servers: 1, taken };
            let candidate = Candidate { host: &host, usage };
            (
                candidate.room(Resource::Vcpus),
                candidate.room_if_alone(Resource::Vcpus),
            )
        };
        for (taken, left) in [(0, 8), (23, 8), (24, 8), (25, 7), (32, 0), (99, 0)] {
            assert_eq!(room(taken), (left, 8), "{taken}");
        }
    }

    #[test]
    fn a_host_that_promises_less_than_it_has_gives_no_more_than_it_promises() {
        let host = host(|hypervisor| hypervisor.spec.overcommit.cpu_percent = 50);
        let usage = Usage::default();
        let candidate = Candidate { host: &host, usage };
        assert_eq!(candidate.room(Resource::Vcpus), 4);
        assert_eq!(candidate.room_if_alone(Resource::Vcpus), 4);
    }
}
