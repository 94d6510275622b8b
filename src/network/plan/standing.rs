//! How each object stands, from what was found of it, what it was given, and how it stands in OVN. Equal facts make an equal
//! status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{
        condition::{self, Fact, Truth},
        network::NetworkState,
        port::PortAddress,
    },
    network::realiser::Standing,
};

use super::{
    keep,
    ledger::{Given, Role},
    problem::{Problem, told},
    world::Seen,
};

mod edge;
mod inner;

pub use edge::{balancer, floating, router};
pub use inner::{group, network, port, subnet};

/// What is known of an object beside what was found of it.
#[derive(Debug)]
pub struct News<'a> {
    /// What it was given just now.
    pub given: Option<&'a Given>,
    /// Why it was not given all of it.
    pub refused: &'a [Problem],
    /// How it stands in OVN.
    pub standing: &'a Standing,
    /// What the API server would not let the operator do.
    pub trouble: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

impl News<'_> {
    /// The addresses that were given for a role.
    fn addresses(&self, role: Role) -> Vec<PortAddress> {
        let grants = self.given.iter().flat_map(|given| &given.grants);
        let grants = grants.filter(|grant| grant.role == role);
        grants
            .map(|grant| PortAddress {
                subnet: grant.label.clone(),
                ip: grant.ip,
            })
            .collect()
    }
}

/// Whether everything in the spec makes sense.
fn accepted(problems: &[Problem]) -> Fact {
    match problems.first() {
        None => Fact::yes("Accepted", "Accepted", "everything in its spec makes sense"),
        Some(first) => Fact::no("Accepted", first.reason(), told(problems)),
    }
}

/// Whether it has its addresses.
fn allocated(has: &[PortAddress], lacks: bool, refused: Option<&Problem>) -> Fact {
    match refused {
        Some(problem) if lacks || has.is_empty() => {
            Fact::no("Allocated", problem.reason(), problem.to_string())
        }
        _ if lacks && has.is_empty() => Fact::no(
            "Allocated",
            "NotAllocated",
            "its addresses are being chosen",
        ),
        _ => {
            let ips: Vec<_> = has.iter().map(|address| address.ip.to_string()).collect();
            Fact::yes(
                "Allocated",
                "Allocated",
                format!("it has {}", ips.join(", ")),
            )
        }
    }
}

/// Whether OVN has it.
fn realised(made: bool, standing: &Standing) -> Fact {
    const KIND: &str = "Realised";
    match standing {
        Standing::Unknown(why) => Fact::unknown(KIND, "NoDatabase", why),
        _ if !made => Fact::no(
            KIND,
            "NotWanted",
            "nothing of it is made: see the other conditions",
        ),
        Standing::Absent | Standing::Pending => {
            Fact::no(KIND, "Pending", "it is being written to OVN's database")
        }
        Standing::Written | Standing::Up => Fact::yes(KIND, "Written", "OVN has it"),
        Standing::Failed(why) => Fact::no(
            KIND,
            "Failed",
            format!(
                "OVN's database refuses it: {why}; the operator tries again, and an administrator should look at its log"
            ),
        ),
    }
}

/// `Ready`, as the summary of the others: what is not true first.
fn ready(seen: &Seen, news: &News<'_>, facts: &[&Fact], good: impl Into<String>) -> Fact {
    if seen.leaving {
        return keep::leaving(&seen.users);
    }
    if let Some(trouble) = news.trouble {
        return Fact::no(
            "Ready",
            "OperatorFailed",
            format!(
                "{trouble}; the operator tries again every minute: an administrator should look at its rights and its log"
            ),
        );
    }
    let wrong = facts.iter().find(|fact| fact.truth != Truth::True);
    match wrong {
        Some(fact) => Fact {
            kind: "Ready",
            ..(**fact).clone()
        },
        None => Fact::yes("Ready", "Ready", good),
    }
}

/// OpenStack's word for something that is there or not, and has no ups and downs.
fn state(seen: &Seen, accepted: bool, realised: &Fact) -> NetworkState {
    match realised.truth {
        _ if !accepted => NetworkState::Error,
        Truth::True => NetworkState::Active,
        Truth::Unknown => NetworkState::Down,
        Truth::False if realised.reason == "Failed" => NetworkState::Error,
        Truth::False if !seen.made => NetworkState::Down,
        Truth::False => NetworkState::Build,
    }
}

fn conditions(
    before: &[Condition],
    facts: Vec<Fact>,
    seen: &Seen,
    now: Timestamp,
) -> Vec<Condition> {
    condition::merge(before, facts, seen.generation, now)
}

#[cfg(test)]
mod tests;
