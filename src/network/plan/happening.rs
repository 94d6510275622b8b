//! What the owner of an object should be told, from how it stood and how it stands now.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{api::condition, cluster::reporter::Happening};

/// Reasons that only say that something is under way.
const UNDER_WAY: [&str; 5] = [
    "Pending",
    "NotAllocated",
    "NotBound",
    "Deleting",
    "NoDatabase",
];

/// What happened between two statuses.
pub fn between(before: &[Condition], after: &[Condition]) -> Vec<Happening> {
    let mut told: Vec<Happening> = Vec::new();
    for (kind, action) in [("Ready", "Realise"), ("Accepted", "Accept")] {
        let Some(now) = condition::find(after, kind).filter(|now| now.status == "False") else {
            continue;
        };
        let then = condition::find(before, kind);
        let same = then.is_some_and(|then| then.status == "False" && then.message == now.message);
        let known = told.iter().any(|happening| happening.note == now.message);
        if same || known || UNDER_WAY.contains(&now.reason.as_str()) {
            continue;
        }
        told.push(Happening {
            grave: now.reason != "InUse",
            reason: reason(&now.reason),
            action,
            note: now.message.clone(),
        });
    }
    told
}

/// Events of one kind share few reasons, by which people filter them.
fn reason(reason: &str) -> &'static str {
    match reason {
        "InUse" => "InUse",
        "SubnetFull" | "AddressTaken" | "MacTaken" | "OutsidePools" | "AddressReserved"
        | "AddressOutside" => "FailedAllocation",
        "Failed" => "FailedRealisation",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::{Fact, merge};

    fn conditions(fact: Fact) -> Vec<Condition> {
        merge(&[], vec![fact], Some(1), jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn trouble_is_told_once_and_progress_never() {
        let full = || conditions(Fact::no("Ready", "SubnetFull", "no free address"));
        let pending = || conditions(Fact::no("Ready", "Pending", "on its way"));
        let told = between(&[], &full());
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].reason, "FailedAllocation");
        assert!(told[0].grave);
        assert_eq!(between(&full(), &full()), []);
        assert_eq!(between(&full(), &pending()), []);
        let used = conditions(Fact::no("Ready", "InUse", "in use by port a/b"));
        assert!(!between(&pending(), &used)[0].grave);
    }
}
