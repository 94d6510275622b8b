//! How a server stands, as its status tells it: OpenStack's state word, conditions with their reasons, facts.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use crate::api::{
    condition::{self, Fact, Truth, whole_seconds},
    guest::{Guest, GuestStatus},
    server::{Fault, PowerState, Server, ServerState, ServerStatus},
    server_action::{ActionState, Verb},
};

use super::{
    ports::{self, Entry},
    server::{Binding, Decision, NodeVoice, Observed, Progress},
};

mod network;

/// The server's whole status. `trouble` is why a step of the operator's was refused.
///
/// Guarantee: equal input makes an equal status, whatever the time; what did not change keeps its time.
pub fn report(
    server: &Server,
    observed: &Observed,
    decision: &Decision,
    trouble: Option<&str>,
    now: Timestamp,
) -> ServerStatus {
    let before = server.status.clone().unwrap_or_default();
    let told = observed
        .guest
        .as_deref()
        .and_then(|guest| guest.status.as_ref());
    let facts = facts(server, observed, decision, trouble);
    let fault = facts
        .iter()
        .find(|fact| fact.kind == "Stalled" && fact.truth == Truth::True);
    let fault = fault.map(|fact| remembered(before.fault.as_ref(), &fact.message, now));
    let binding = decision.binding.as_ref();
    ServerStatus {
        id: server.uid(),
        state: Some(state(observed, decision, fault.is_some())),
        power_state: told.and_then(|status| status.power),
        node: binding.map(|binding| binding.node.clone()),
        epoch: binding.map(|binding| binding.epoch).or(before.epoch),
        allocated: binding.map(|binding| binding.resources),
        started_at: told.and_then(|status| status.started_at.clone()),
        restarts: told.and_then(|status| status.restarts),
        addresses: ports::addresses(server, observed),
        fault,
        observed_generation: server.metadata.generation,
        conditions: condition::merge(&before.conditions, facts, server.metadata.generation, now),
    }
}

fn remembered(before: Option<&Fault>, message: &str, now: Timestamp) -> Fault {
    match before {
        Some(fault) if fault.message == message => fault.clone(),
        Some(_) | None => Fault {
            message: message.to_owned(),
            time: Time(whole_seconds(now)),
        },
    }
}

/// OpenStack's word. A node that is silent does not change it: the guest most likely runs on.
fn state(observed: &Observed, decision: &Decision, faulty: bool) -> ServerState {
    let guest = match decision.progress {
        Progress::Leaving | Progress::Gone => return ServerState::Deleting,
        _ if faulty => return ServerState::Error,
        Progress::Unresolved(_) | Progress::Unconnected(_) | Progress::Unschedulable(_) => {
            return ServerState::Build;
        }
        Progress::Told => observed.guest.as_deref(),
    };
    let Some((guest, status)) = guest.and_then(|guest| Some((guest, guest.status.as_ref()?)))
    else {
        return ServerState::Build;
    };
    match (rebooting(guest, status), status.power) {
        (Some(Verb::SoftReboot), _) => ServerState::Reboot,
        (Some(Verb::HardReboot), _) => ServerState::HardReboot,
        (Some(Verb::Reset | Verb::Nmi) | None, power) => match power {
            Some(PowerState::Running) => ServerState::Active,
            Some(PowerState::Stopped) => ServerState::Shutoff,
            Some(PowerState::Paused) => ServerState::Paused,
            Some(PowerState::Suspended) => ServerState::Suspended,
            None => ServerState::Build,
        },
    }
}

/// The action that is under way on the node.
fn rebooting(guest: &Guest, status: &GuestStatus) -> Option<Verb> {
    let action = guest.spec.action.as_ref()?;
    let record = status.action.as_ref()?;
    (record.id == action.id && record.state == ActionState::Running).then_some(action.verb)
}

/// Every condition of a server, always.
fn facts(
    server: &Server,
    observed: &Observed,
    decision: &Decision,
    trouble: Option<&str>,
) -> Vec<Fact> {
    let entries = ports::entries(server, &observed.ports);
    let word = Word::of(server, observed, decision, &entries);
    let resolved = match &decision.progress {
        Progress::Unresolved(why) => Fact::no("Resolved", why.reason(), why.to_string()),
        Progress::Unconnected(why) if why.stalls() => {
            Fact::no("Resolved", why.reason(), why.to_string())
        }
        _ => Fact::yes(
            "Resolved",
            "Resolved",
            "everything that the server names is there",
        ),
    };
    let scheduled = match (&decision.progress, &decision.binding) {
        (_, Some(Binding { node, .. })) => {
            Fact::yes("Scheduled", "Bound", format!("hypervisor {node} has it"))
        }
        (Progress::Unschedulable(refusal), None) => {
            Fact::no("Scheduled", "NoHypervisor", refusal.to_string())
        }
        (_, None) => Fact::unknown(
            "Scheduled",
            "NotLookedAt",
            "no hypervisor has been looked for",
        ),
    };
    let stalled = match &decision.progress {
        Progress::Unresolved(why) => Fact::yes("Stalled", why.reason(), why.to_string()),
        Progress::Unconnected(why) if why.stalls() => {
            Fact::yes("Stalled", why.reason(), why.to_string())
        }
        // What the node said of an earlier wish says nothing of this one.
        _ => word
            .of_guest("Stalled")
            .filter(|_| word.current)
            .unwrap_or_else(|| Fact::no("Stalled", "Progressing", "")),
    };
    let plugged = word.of_guest("NetworkReady");
    let network = network::fact(server, observed, &entries, plugged.as_ref());
    let ready = match trouble {
        Some(trouble) => Fact::no(
            "Ready",
            "OperatorFailed",
            format!(
                "{trouble}; the operator tries again every minute: an administrator should look at its rights and its log"
            ),
        ),
        None => word.ready(&resolved, &scheduled, &network, &stalled),
    };
    let node_says = |kind| {
        word.of_guest(kind)
            .unwrap_or_else(|| Fact::unknown(kind, "NotBuilt", "its node has not built it yet"))
    };
    vec![
        ready,
        resolved,
        scheduled,
        network,
        node_says("StorageReady"),
        node_says("Running"),
        stalled,
    ]
}

/// What the server's node says of it, and how much that is worth.
struct Word<'a> {
    node: &'a str,
    voice: NodeVoice,
    conditions: &'a [Condition],
    current: bool,
    progress: &'a Progress,
}

impl<'a> Word<'a> {
    fn of(
        server: &Server,
        observed: &'a Observed,
        decision: &'a Decision,
        entries: &[Entry],
    ) -> Self {
        let guest = observed.guest.as_deref();
        let status = guest.and_then(|guest| guest.status.as_ref());
        let generation = guest.and_then(|guest| guest.metadata.generation);
        let told_all = guest.is_some_and(|guest| {
            let nics = ports::nics(entries, &guest.spec.nics);
            guest.spec.power == server.spec.power_state && guest.spec.nics == nics
        });
        Self {
            node: decision
                .binding
                .as_ref()
                .map_or("", |binding| &binding.node),
            voice: observed.node,
            conditions: status.map_or(&[], |status| &status.conditions),
            current: told_all
                && status.is_some_and(|status| status.observed_generation == generation),
            progress: &decision.progress,
        }
    }

    /// One of the guest's conditions, as the server's.
    fn of_guest(&self, kind: &'static str) -> Option<Fact> {
        let said = condition::find(self.conditions, kind)?;
        if self.voice == NodeVoice::Silent && kind == "Running" {
            return Some(Fact::unknown(kind, "NodeSilent", self.silence()));
        }
        let truth = match said.status.as_str() {
            "True" => Truth::True,
            "False" => Truth::False,
            _ => Truth::Unknown,
        };
        Some(Fact {
            kind,
            truth,
            reason: said.reason.clone().into(),
            message: said.message.clone(),
        })
    }

    fn ready(&self, resolved: &Fact, scheduled: &Fact, network: &Fact, stalled: &Fact) -> Fact {
        let because = |fact: &Fact| Fact {
            kind: "Ready",
            truth: Truth::False,
            ..fact.clone()
        };
        match self.progress {
            Progress::Leaving if self.voice == NodeVoice::Silent => Fact::no(
                "Ready",
                "Deleting",
                format!(
                    "being deleted, and hypervisor {} is not heard of: it goes when the host is back; for a host that \
                     is gone for good see \"A host that is gone\" in Kilonova's README",
                    self.node
                ),
            ),
            Progress::Leaving => Fact::no(
                "Ready",
                "Deleting",
                format!("waiting for hypervisor {} to remove it", self.node),
            ),
            Progress::Gone => Fact::no("Ready", "Deleting", "nothing of it is left"),
            Progress::Unresolved(_) => because(resolved),
            Progress::Unconnected(_) => because(network),
            Progress::Unschedulable(_) => because(scheduled),
            Progress::Told if stalled.truth == Truth::True => because(stalled),
            Progress::Told if self.voice == NodeVoice::Silent => {
                Fact::unknown("Ready", "NodeSilent", self.silence())
            }
            Progress::Told => match self.of_guest("Ready") {
                Some(fact) if self.current && fact.truth == Truth::True => match network.truth {
                    Truth::True => fact,
                    Truth::False | Truth::Unknown => because(network),
                },
                Some(fact) if self.current => fact,
                Some(_) => Fact::no(
                    "Ready",
                    "Progressing",
                    format!("hypervisor {} has been told", self.node),
                ),
                None => Fact::no(
                    "Ready",
                    "Building",
                    format!("hypervisor {} builds it", self.node),
                ),
            },
        }
    }

    fn silence(&self) -> String {
        format!(
            "hypervisor {} is not heard of: if the host runs, so does the server; see `kubectl describe hypervisor {}`",
            self.node, self.node
        )
    }
}

#[cfg(test)]
mod tests;
