//! What the owner of a server should be told, from how it stood and how it stands now.

use crate::{
    api::{
        condition,
        server::{ServerState, ServerStatus},
    },
    cluster::reporter::Happening,
};

/// What happened between two statuses, in the order in which it makes sense.
pub fn between(before: &ServerStatus, after: &ServerStatus) -> Vec<Happening> {
    let node = after.node.as_deref().unwrap_or("?");
    let mut told = Vec::new();
    if before.node.is_none() && after.node.is_some() {
        told.push(good(
            "Scheduled",
            "Schedule",
            format!("hypervisor {node} has it"),
        ));
    }
    if became_false(before, after, "Scheduled") {
        told.push(bad(
            "FailedScheduling",
            "Schedule",
            message(after, "Scheduled"),
        ));
    }
    if let Some(sentence) = disconnected(before, after) {
        told.push(bad("NetworkNotReady", "Connect", sentence));
    }
    if became_false(before, after, "Resolved") {
        told.push(bad("Unresolved", "Resolve", message(after, "Resolved")));
    }
    if before.state != after.state {
        told.extend(
            after
                .state
                .and_then(|state| entered(state, before, after, node)),
        );
    }
    let restarts = |status: &ServerStatus| status.restarts.unwrap_or(0);
    if restarts(after) > restarts(before) {
        let sentence = format!(
            "the guest had ended by itself; hypervisor {node} started it again (restart {})",
            restarts(after)
        );
        told.push(bad("Restarted", "Restart", sentence));
    }
    if let Some(fault) = after
        .fault
        .as_ref()
        .filter(|fault| before.fault.as_ref() != Some(fault))
    {
        told.push(bad("Fault", "Reconcile", fault.message.clone()));
    }
    told
}

fn entered(
    state: ServerState,
    before: &ServerStatus,
    after: &ServerStatus,
    node: &str,
) -> Option<Happening> {
    let first = before.started_at.is_none();
    Some(match state {
        ServerState::Active if first => good(
            "Started",
            "Start",
            format!("it runs on hypervisor {node} for the first time"),
        ),
        ServerState::Active => good("Started", "Start", format!("it runs on hypervisor {node}")),
        ServerState::Shutoff => good("Stopped", "Stop", message(after, "Running")),
        ServerState::Paused => good("Paused", "Pause", "it stands still, in memory".to_owned()),
        ServerState::Suspended => good(
            "Suspended",
            "Suspend",
            "its memory is saved to disk".to_owned(),
        ),
        ServerState::Reboot => good(
            "Rebooting",
            "Reboot",
            "the guest was asked to reboot".to_owned(),
        ),
        ServerState::HardReboot => good(
            "Rebooting",
            "Reboot",
            "the guest is cut off and started again".to_owned(),
        ),
        ServerState::Deleting => good(
            "Deleting",
            "Delete",
            format!("hypervisor {node} removes it"),
        ),
        // Building is told by what it waits for, an error by its fault.
        ServerState::Build | ServerState::Error => return None,
    })
}

/// Reasons of `NetworkReady` that every server with networks has for a while.
const PASSING: [&str; 6] = [
    "GuardPending",
    "NotBuilt",
    "PlugPending",
    "UnplugPending",
    "PortNotReady",
    "Suspended",
];

/// What is wrong with its network: as soon as it was well before, and for what does not pass by itself in any case.
fn disconnected(before: &ServerStatus, after: &ServerStatus) -> Option<String> {
    let now =
        condition::find(&after.conditions, "NetworkReady").filter(|now| now.status == "False")?;
    let then = condition::find(&before.conditions, "NetworkReady");
    let was_well = then.is_some_and(|then| then.status == "True" && then.reason != "NoNetworks");
    let is_new = then.is_none_or(|then| then.reason != now.reason);
    let passes = PASSING.contains(&&*now.reason);
    (was_well || is_new && !passes).then(|| now.message.clone())
}

fn became_false(before: &ServerStatus, after: &ServerStatus, kind: &str) -> bool {
    let is_false = |status: &ServerStatus| {
        condition::find(&status.conditions, kind).is_some_and(|c| c.status == "False")
    };
    is_false(after) && !is_false(before)
}

fn message(status: &ServerStatus, kind: &str) -> String {
    condition::find(&status.conditions, kind)
        .map(|condition| condition.message.clone())
        .unwrap_or_default()
}

fn good(reason: &'static str, action: &'static str, note: String) -> Happening {
    Happening {
        grave: false,
        reason,
        action,
        note,
    }
}

fn bad(reason: &'static str, action: &'static str, note: String) -> Happening {
    Happening {
        grave: true,
        reason,
        action,
        note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(before: &ServerStatus, after: &ServerStatus) -> Vec<&'static str> {
        between(before, after)
            .iter()
            .map(|happening| happening.reason)
            .collect()
    }

    #[test]
    fn a_life_is_told_once() {
        let new = ServerStatus::default();
        let bound = ServerStatus {
            node: Some("n1".into()),
            state: Some(ServerState::Build),
            ..new.clone()
        };
        let runs = ServerStatus {
            state: Some(ServerState::Active),
            ..bound.clone()
        };
        let again = ServerStatus {
            restarts: Some(1),
            ..runs.clone()
        };
        assert_eq!(reasons(&new, &bound), ["Scheduled"]);
        assert_eq!(reasons(&bound, &runs), ["Started"]);
        assert_eq!(reasons(&runs, &again), ["Restarted"]);
        assert_eq!(reasons(&again, &again), [""; 0]);
    }
}
