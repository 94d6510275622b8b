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
    server::{Resources, Server},
};

use super::{
    guest,
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
    /// Write the seed beside the guest.
    WriteSeed(Box<Secret>),
    /// Write the guest.
    WriteGuest(Box<Guest>),
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
        (Some(binding), Some(guest)) => adjust(server, binding, guest),
        (Some(binding), None) => tell(server, observed, binding, Vec::new()),
        (None, _) => bind(server, observed),
    };
    // Whatever is somewhere has to be held, or a deletion would leave it there. Somebody may have let go of it.
    if decision.binding.is_some() && !server.finalizers().iter().any(|name| name == FINALIZER) {
        decision.steps.insert(0, Step::Hold);
    }
    decision
}

/// An unbound server gets a node, if one can take it.
fn bind(server: &Server, observed: &Observed) -> Decision {
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
            if !resolved.seeded {
                let seed = guest::seed(server, resolved, &binding);
                steps.push(Step::WriteSeed(Box::new(seed)));
            }
            steps.push(Step::WriteGuest(Box::new(guest::compile(
                server, resolved, &binding,
            ))));
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
fn adjust(server: &Server, binding: Binding, told: &Guest) -> Decision {
    let wanted = guest::refresh(server, told);
    let stands = GuestSpec {
        action: None,
        ..told.spec.clone()
    };
    let steps = if wanted.spec == stands {
        Vec::new()
    } else {
        vec![Step::WriteGuest(Box::new(wanted))]
    };
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
    let steps = seed
        .into_iter()
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
