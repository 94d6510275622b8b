//! Why no hypervisor can take a server: counted for metrics, and put in words for the server's condition.
//!
//! Words here are read by tenants and administrators both. Equal refusals must read equally, so that a condition
//! changes only with the facts.

use std::{collections::BTreeMap, fmt};

use super::{
    Request,
    amounts::{Amounts, Resource},
    filter::Filter,
    host::Candidate,
};
use crate::{
    api::{HYPERVISOR_LABEL, value::Size},
    compute::plan::needs::Needs,
};

/// How many hosts each filter refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    counts: [u32; Filter::ALL.len()],
    near_misses: [NearMiss; Resource::COUNT],
}

/// The best of the hosts that were refused for a resource: it tells whether waiting could help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct NearMiss {
    /// The most that a server could have now.
    free: u64,
    /// The most that a server could have if it were alone.
    alone: u64,
}

impl Tally {
    /// Counts one host, at the first filter that refused it.
    pub fn count(&mut self, filter: Filter, candidate: &Candidate<'_>) {
        self.counts[filter as usize] += 1;
        if let Some(resource) = filter.resource() {
            let best = &mut self.near_misses[resource as usize];
            *best = NearMiss {
                free: best.free.max(candidate.room(resource)),
                alone: best.alone.max(candidate.room_if_alone(resource)),
            };
        }
    }

    /// What to tell the server, given that no host was left.
    pub fn refuse(self, request: &Request<'_>, demand: Amounts) -> Refusal {
        Refusal(Box::new(Details {
            tally: self,
            demand,
            needs: request.needs.clone(),
            node_selector: request.node_selector.clone(),
        }))
    }
}

/// Why no hypervisor can take a server. Its `Display` is the message of the server's condition.
///
/// Each host is counted once, at the first filter that refused it, so the counts add up to the number of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Box<Details>);

/// Behind a box, because a refusal is rare and a placement should not carry its size around.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    tally: Tally,
    demand: Amounts,
    needs: Needs,
    node_selector: BTreeMap<String, String>,
}

impl Refusal {
    /// How many hosts there are.
    pub fn hosts(&self) -> u32 {
        self.0.tally.counts.iter().sum()
    }

    /// The filters that refused at least one host, in their order, and how many.
    pub fn by_filter(&self) -> impl Iterator<Item = (Filter, u32)> {
        Filter::ALL
            .into_iter()
            .map(|filter| (filter, self.0.tally.counts[filter as usize]))
            .filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.hosts();
        if hosts == 0 {
            return write!(
                f,
                "there is no hypervisor yet: label a node with {HYPERVISOR_LABEL}=true"
            );
        }
        f.write_str("no hypervisor can take it: ")?;
        if hosts > 1 {
            write!(f, "of {hosts}, ")?;
        }
        for (index, (filter, count)) in self.by_filter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match hosts {
                1 => f.write_str("the only one ")?,
                _ => write!(f, "{count} ")?,
            }
            self.0.explain(f, filter, count)?;
        }
        Ok(())
    }
}

impl Details {
    /// The rest of a sentence whose subject is `count` hosts; "it" is the server.
    fn explain(&self, f: &mut fmt::Formatter<'_>, filter: Filter, count: u32) -> fmt::Result {
        let one = count == 1;
        let is = if one { "is" } else { "are" };
        let does = if one { "does" } else { "do" };
        let needs = &self.needs;
        match filter {
            Filter::Schedulable => write!(f, "{is} not schedulable"),
            Filter::Ready => write!(f, "{is} not ready"),
            Filter::Architecture => {
                let architecture = needs.architecture.as_deref().unwrap_or_default();
                write!(f, "{is} not of the architecture {architecture}")
            }
            Filter::NodeSelector => {
                let selector = Selector(&self.node_selector);
                write!(f, "{does} not match its node selector ({selector})")
            }
            Filter::Machine => write!(f, "{does} not offer the machine {:?}", needs.machine),
            Filter::Firmware => write!(f, "{does} not offer the firmware {:?}", needs.firmware),
            Filter::SecureBoot => write!(f, "{does} not offer Secure Boot"),
            Filter::Tpm => write!(f, "{does} not offer a TPM"),
            Filter::CpuModel => {
                let model = needs.cpu_model.as_deref().unwrap_or_default();
                write!(f, "{does} not offer the CPU model {model}")
            }
            Filter::Network => {
                let has = if one { "has" } else { "have" };
                write!(
                    f,
                    "{has} no working network, which its NICs need (see the condition NetworkReady of Hypervisors)"
                )
            }
            Filter::Vcpus => self.explain_shortage(f, Resource::Vcpus, count),
            Filter::Memory => self.explain_shortage(f, Resource::Memory, count),
            Filter::Disk => self.explain_shortage(f, Resource::Disk, count),
        }
    }

    fn explain_shortage(
        &self,
        f: &mut fmt::Formatter<'_>,
        resource: Resource,
        count: u32,
    ) -> fmt::Result {
        let has = if count == 1 { "has" } else { "have" };
        let needed = self.demand.of(resource);
        let amount = Amount(resource, needed);
        match resource {
            Resource::Vcpus if needed == 1 => write!(f, "{has} less than the 1 vCPU it needs"),
            Resource::Vcpus => write!(f, "{has} fewer than the {amount} vCPUs it needs"),
            Resource::Memory => write!(f, "{has} less than the {amount} of memory it needs"),
            Resource::Disk => write!(f, "{has} less than the {amount} of disk it needs"),
        }?;
        let NearMiss { free, alone } = self.tally.near_misses[resource as usize];
        if alone < needed {
            let most = Amount(resource, alone);
            write!(f, " (the most that one server may have: {most})")
        } else if free == 0 {
            f.write_str(" (none is free)")
        } else {
            let most = Amount(resource, free);
            write!(f, " (the most that is free: {most})")
        }
    }
}

/// How much of a resource, as a flavor would write it.
struct Amount(Resource, u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Resource::Vcpus => write!(f, "{}", self.1),
            Resource::Memory | Resource::Disk => write!(f, "{}", Size::mib(self.1)),
        }
    }
}

/// A node selector as kubectl would write it.
struct Selector<'a>(&'a BTreeMap<String, String>);

impl fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (label, value)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{label}={value}")?;
        }
        Ok(())
    }
}
