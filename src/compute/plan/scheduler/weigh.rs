//! The weighers: of the hosts that can take a server, which one should.
//!
//! Each weigher says how full a host would be with the server on it, in parts per million, and each has a
//! multiplier; a host's weight is their sum, and the least weight wins. Positive multipliers therefore spread
//! servers over hosts and negative ones pack them, as in Nova; zero turns a weigher off. Weights are of one host
//! alone, never relative to what other hosts there are, so one pass is enough.

use super::{
    amounts::{Amounts, Resource},
    host::Candidate,
};

/// A full host, in parts per million.
const FULL_PPM: u64 = 1_000_000;

/// What one server adds to a host's weight, in parts per million: a thousandth of a host, whatever its size.
const SERVER_PPM: i64 = 1_000;

/// One way of saying how full a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weigher {
    /// The share of its virtual CPUs that is promised.
    Cpu,
    /// The share of its memory that is promised.
    Memory,
    /// The share of its disk that is promised.
    Disk,
    /// How many servers it has: every server counts as a thousandth of a host.
    Spread,
}

impl Weigher {
    /// Every weigher.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Disk, Self::Spread];

    /// How full the host would be with one more server that takes `demand`, in parts per million.
    fn fullness_ppm(self, demand: &Amounts, candidate: &Candidate<'_>) -> i64 {
        match self {
            Self::Cpu => promised_ppm(Resource::Vcpus, demand, candidate),
            Self::Memory => promised_ppm(Resource::Memory, demand, candidate),
            Self::Disk => promised_ppm(Resource::Disk, demand, candidate),
            Self::Spread => (i64::from(candidate.usage.servers) + 1) * SERVER_PPM,
        }
    }
}

/// A host that may promise nothing is full.
fn promised_ppm(resource: Resource, demand: &Amounts, candidate: &Candidate<'_>) -> i64 {
    let taken = candidate
        .usage
        .taken
        .of(resource)
        .saturating_add(demand.of(resource));
    let ppm = taken
        .saturating_mul(FULL_PPM)
        .checked_div(candidate.host.promised.of(resource))
        .unwrap_or(FULL_PPM);
    // More than full is possible where an administrator lowered the overcommit: it counts as full twice at most.
    i64::try_from(ppm.min(2 * FULL_PPM)).unwrap_or(i64::MAX)
}

/// How much each weigher counts. Positive spreads, negative packs, zero turns it off; only ratios matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Of [`Weigher::Cpu`]. Default: 1.
    pub cpu: i16,
    /// Of [`Weigher::Memory`]. Default: 1.
    pub memory: i16,
    /// Of [`Weigher::Disk`]. Default: 1.
    pub disk: i16,
    /// Of [`Weigher::Spread`]. Default: 1, which decides between hosts that are about equally full.
    pub spread: i16,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            cpu: 1,
            memory: 1,
            disk: 1,
            spread: 1,
        }
    }
}

impl Weights {
    fn of(self, weigher: Weigher) -> i16 {
        match weigher {
            Weigher::Cpu => self.cpu,
            Weigher::Memory => self.memory,
            Weigher::Disk => self.disk,
            Weigher::Spread => self.spread,
        }
    }

    /// The weight of this host with the server on it; the least is best.
    ///
    /// Cannot overflow: the largest term is 2^32 servers × 2^10 × 2^15, far below 2^63.
    pub(super) fn weigh(self, demand: &Amounts, candidate: &Candidate<'_>) -> i64 {
        Weigher::ALL
            .into_iter()
            .filter(|weigher| self.of(*weigher) != 0)
            .map(|weigher| i64::from(self.of(weigher)) * weigher.fullness_ppm(demand, candidate))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            fixtures::hypervisor,
            host::{Host, Usage},
        },
        *,
    };
    use crate::api::value::Size;

    const OFF: Weights = Weights {
        cpu: 0,
        memory: 0,
        disk: 0,
        spread: 0,
    };

    const DEMAND: Amounts = Amounts {
        vcpus: 1,
        memory_mib: 1024,
        disk_mib: 10 * 1024,
    };

    /// The weight of a server of [`DEMAND`] on a host of 10 CPUs, 20Gi and 100Gi with `usage`.
    fn weigh(weights: Weights, usage: Usage) -> i64 {
        let host = Host::from_hypervisor(&hypervisor(10, Size::gib(20), Size::gib(100)));
        weights.weigh(&DEMAND, &Candidate { host: &host, usage })
    }

    fn usage(servers: u32, vcpus: u64, memory_mib: u64, disk_mib: u64) -> Usage {
        let taken = Amounts {
            vcpus,
            memory_mib,
            disk_mib,
        };
        Usage { servers, taken }
    }

    #[test]
    fn each_weigher_sees_its_own_resource_after_placement() {
        let used = usage(4, 2, 4096, 20 * 1024);
        for (weights, weight) in [
            (OFF, 0),
            (Weights { cpu: 1, ..OFF }, 300_000),
            (Weights { memory: 1, ..OFF }, 250_000),
            (Weights { disk: 1, ..OFF }, 300_000),
            (Weights { spread: 1, ..OFF }, 5_000),
            (Weights::default(), 855_000),
            (
                Weights {
                    cpu: 2,
                    memory: -3,
                    disk: 0,
                    spread: -1,
                },
                600_000 - 750_000 - 5_000,
            ),
        ] {
            assert_eq!(weigh(weights, used), weight, "{weights:?}");
        }
    }

    #[test]
    fn positive_prefers_the_emptier_and_negative_the_fuller() {
        let (empty, full) = (usage(0, 0, 0, 0), usage(3, 5, 9000, 70_000));
        let of = |cpu, memory, disk, spread| Weights {
            cpu,
            memory,
            disk,
            spread,
        };
        for (cpu, memory, disk, spread) in [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
        {
            let spreads = of(cpu, memory, disk, spread);
            assert!(weigh(spreads, empty) < weigh(spreads, full), "{spreads:?}");
            let packs = of(-cpu, -memory, -disk, -spread);
            assert!(weigh(packs, full) < weigh(packs, empty), "{packs:?}");
        }
    }

    #[test]
    fn what_may_promise_nothing_is_full() {
        let host = Host::default();
        let candidate = Candidate {
            host: &host,
            usage: Usage::default(),
        };
        let weights = Weights { disk: 1, ..OFF };
        assert_eq!(weights.weigh(&DEMAND, &candidate), 1_000_000);
    }

    #[test]
    fn the_heaviest_host_does_not_overflow() {
        let heaviest = usage(u32::MAX, u64::MAX, u64::MAX, u64::MAX);
        for multiplier in [i16::MIN, i16::MAX] {
            let weights = Weights {
                cpu: multiplier,
                memory: multiplier,
                disk: multiplier,
                spread: multiplier,
            };
            let full = 3 * 2_000_000 + (i64::from(u32::MAX) + 1) * 1000;
            assert_eq!(weigh(weights, heaviest), i64::from(multiplier) * full);
        }
    }
}
