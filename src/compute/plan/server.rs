//! What to do about one server, and why. Pure: see `standing` for how the result is told.
//!
//! ```text
//!   unbound ──place──► claimed ──seed, guest──► told ──agent──► as asked
//!      ▲ refused: wait for room                   │ deleted
//!      └──────────────────────────────────────────▼
//!                          retire the guest ──agent──► gone ──► release
//! ```

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::api::{
    guest::{Guest, GuestSpec},
    port::Port,
    server::{Resources, Server},
};

use super::{
    guest,
    ports::{self, Entry, Trouble},
    resolve::{Resolved, Unresolved},
    scheduler::{Placement, Refusal},
};

/// The finalizer by which the operator holds a server until nothing of it is left anywhere.
pub const FINALIZER: &str = "kilonova.dev/compute";

/// Everything that was read for one decision.
#[derive(Debug)]
pub struct Observed {
    /// The guest in the namespace of the server's node.
    pub guest: Option<Arc<Guest>>,
    /// What the server is made of; absent where nobody needs to know any more.
    pub resolution: Option<Result<Resolved, Unresolved>>,
    /// Where the scheduler would put it; absent unless it was asked.
    pub placement: Option<Result<Placement, Refusal>>,
    /// Whether the server's node is heard of.
    pub node: NodeVoice,
    /// The ports that concern it.
    pub ports: ports::Found,
}

/// Whether a node is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeVoice {
    /// Its agent renews its heartbeat.
    Heard,
    /// Its agent has been silent for too long.
    Silent,
}

/// A server's claim on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The node.
    pub node: String,
    /// The number of this binding.
    pub epoch: i64,
    /// What is claimed.
    pub resources: Resources,
}

impl Binding {
    /// The claim that the server's status holds.
    pub fn of(server: &Server) -> Option<Self> {
        let status = server.status.as_ref()?;
        Some(Self {
            node: status.node.clone()?,
            epoch: status.epoch?,
            resources: status.allocated?,
        })
    }
}

/// What to do, and what it means for the server.
#[derive(Debug)]
pub struct Decision {
    /// In this order; stop at the first that fails.
    pub steps: Vec<Step>,
    /// The binding that holds once the steps are done.
    pub binding: Option<Binding>,
    /// What the server waits for, or that it waits for nothing but its node.
    pub progress: Progress,
}

impl Decision {
    /// The same as far as it came: the binding is what the server's status holds after the steps were tried.
    #[must_use]
    pub fn as_far_as(self, server: &Server) -> Self {
        Self {
            binding: Binding::of(server),
            ..self
        }
    }
}

/// One thing to do. Each is safe to do twice.
#[derive(Debug)]
pub enum Step {
    /// Put the finalizer on the server.
    Hold,
    /// Write the binding to the server's status: the claim.
    Claim,
    /// Make a port for one of the server's networks.
    MakePort(Box<Port>),
    /// Write the seed beside the guest.
    WriteSeed(Box<Secret>),
    /// Write the guest.
    WriteGuest(Box<Guest>),
    /// Delete a port that was made for the server.
    DeletePort(Arc<Port>),
    /// Ask for the guest's deletion.
    DeleteGuest(Arc<Guest>),
    /// Delete the seed of the server in the namespace of this node.
    DeleteSeed(String),
    /// Give the claim back to the scheduler.
    Forget,
    /// Take the finalizer off the server: nothing of it is left.
    Release,
}

/// How far a server has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It cannot be made as it is written.
    Unresolved(Unresolved),
    /// One of its networks has no port for it yet.
    Unconnected(Trouble),
    /// No hypervisor can take it.
    Unschedulable(Refusal),
    /// Its node has been told; what the node says counts.
    Told,
    /// It is being deleted and its node has not let go of it yet.
    Leaving,
    /// Nothing of it is left.
    Gone,
}

/// What to do about the server.
pub fn decide(server: &Server, observed: &Observed) -> Decision {
    if server.metadata.deletion_timestamp.is_some() {
        return remove(server, observed);
    }
    let mut decision = match (Binding::of(server), &observed.guest) {
        (Some(binding), Some(guest)) => adjust(server, observed, binding, guest),
        (Some(binding), None) => tell(server, observed, binding, Vec::new()),
        (None, _) => bind(server, observed),
    };
    // Whatever is somewhere has to be held, or a deletion would leave it there. Somebody may have let go of it.
    let makes = |step: &Step| matches!(step, Step::MakePort(_));
    let leaves_traces = decision.binding.is_some() || decision.steps.iter().any(makes);
    if leaves_traces && !server.finalizers().iter().any(|name| name == FINALIZER) {
        decision.steps.insert(0, Step::Hold);
    }
    decision
}

/// What is done first about a server whose networks have no ports for it yet: its guest is told of their addresses, and no
/// place is taken for a server that could not use it.
fn connect(
    server: &Server,
    observed: &Observed,
    binding: Option<&Binding>,
    entries: &[Entry],
) -> Option<Decision> {
    let trouble = ports::trouble(entries)?;
    let mut steps = Vec::new();
    if !trouble.stalls() {
        let missing = ports::missing(server, entries).into_iter();
        steps.extend(missing.map(|port| Step::MakePort(Box::new(port))));
    }
    steps.extend(superfluous(server, observed));
    Some(Decision {
        steps,
        ..wait(binding.cloned(), Progress::Unconnected(trouble.clone()))
    })
}

/// Deletes the ports that were made for the server and are of no use any more.
fn superfluous(server: &Server, observed: &Observed) -> impl Iterator<Item = Step> {
    let ports = ports::superfluous(server, &observed.ports, observed.guest.as_deref());
    ports.into_iter().map(Step::DeletePort)
}

/// An unbound server gets a node, if one can take it.
fn bind(server: &Server, observed: &Observed) -> Decision {
    if let Some(Ok(_)) = &observed.resolution {
        let entries = ports::entries(server, &observed.ports);
        if let Some(decision) = connect(server, observed, None, &entries) {
            return decision;
        }
    }
    let placement = match (&observed.resolution, &observed.placement) {
        (Some(Ok(resolved)), Some(Ok(placement))) => (resolved, placement),
        (Some(Ok(_)), Some(Err(refusal))) => {
            return wait(None, Progress::Unschedulable(refusal.clone()));
        }
        (Some(Err(unresolved)), _) => return wait(None, Progress::Unresolved(unresolved.clone())),
        // Whoever gathers resolves every unbound server and places every resolved one.
        (Some(Ok(_)) | None, None) | (None, Some(_)) => return wait(None, Progress::Told),
    };
    let (resolved, Placement { node }) = placement;
    let epoch = server
        .status
        .as_ref()
        .and_then(|status| status.epoch)
        .unwrap_or(0)
        + 1;
    let binding = Binding {
        node: node.clone(),
        epoch,
        resources: resolved.resources,
    };
    tell(server, observed, binding, vec![Step::Claim])
}

/// A bound server whose node does not know of it yet.
fn tell(server: &Server, observed: &Observed, binding: Binding, mut steps: Vec<Step>) -> Decision {
    match &observed.resolution {
        Some(Ok(resolved)) => {
            let entries = ports::entries(server, &observed.ports);
            if let Some(decision) = connect(server, observed, Some(&binding), &entries) {
                return decision;
            }
            let nics = ports::nics(&entries, &[]);
            if !resolved.seeded {
                let seed = guest::seed(server, resolved, &binding, &nics);
                steps.push(Step::WriteSeed(Box::new(seed)));
            }
            steps.push(Step::WriteGuest(Box::new(guest::compile(
                server, resolved, &binding, nics,
            ))));
            steps.extend(superfluous(server, observed));
            Decision {
                steps,
                binding: Some(binding),
                progress: Progress::Told,
            }
        }
        Some(Err(unresolved)) => wait(Some(binding), Progress::Unresolved(unresolved.clone())),
        None => wait(Some(binding), Progress::Told),
    }
}

/// A server whose node knows of it: pass on what its owner has changed.
fn adjust(server: &Server, observed: &Observed, binding: Binding, told: &Guest) -> Decision {
    let entries = ports::entries(server, &observed.ports);
    let nics = ports::nics(&entries, &told.spec.nics);
    let wanted = guest::refresh(server, told, nics);
    let stands = GuestSpec {
        action: None,
        ..told.spec.clone()
    };
    let missing = ports::missing(server, &entries).into_iter();
    let mut steps: Vec<Step> = missing.map(|port| Step::MakePort(Box::new(port))).collect();
    if wanted.spec != stands {
        steps.push(Step::WriteGuest(Box::new(wanted)));
    }
    steps.extend(superfluous(server, observed));
    Decision {
        steps,
        binding: Some(binding),
        progress: Progress::Told,
    }
}

/// A server on its way out: first the node lets go of it, then we do.
fn remove(server: &Server, observed: &Observed) -> Decision {
    let binding = Binding::of(server);
    if let Some(guest) = &observed.guest {
        let mut steps = Vec::new();
        if !guest.spec.retired {
            steps.push(Step::WriteGuest(Box::new(guest::retire(guest))));
        }
        if guest.metadata.deletion_timestamp.is_none() {
            steps.push(Step::DeleteGuest(Arc::clone(guest)));
        }
        return Decision {
            steps,
            binding,
            progress: Progress::Leaving,
        };
    }
    let seed = binding
        .as_ref()
        .map(|binding| Step::DeleteSeed(binding.node.clone()));
    let steps = superfluous(server, observed)
        .chain(seed)
        .chain([Step::Forget, Step::Release])
        .collect();
    Decision {
        steps,
        binding,
        progress: Progress::Gone,
    }
}

fn wait(binding: Option<Binding>, progress: Progress) -> Decision {
    Decision {
        steps: Vec::new(),
        binding,
        progress,
    }
}

#[cfg(test)]
mod tests;
