//! Brings each `Server` to its node and keeps the two in step. Never decides: see `plan::server`.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    api::{
        guest::Guest,
        node_namespace,
        server::{Server, ServerStatus},
    },
    cluster::{
        Error, Result,
        controller::{Reconciler, SLOW_RESYNC},
        read, telemetry,
        writer::{Claim, Failure},
    },
    compute::plan::{
        build_time::build_time,
        happening,
        hypervisor::node_voice,
        ports::{self, Entry, Trouble},
        resolve::{self, Found, UserDataFound},
        server::{self, Binding, Decision, FINALIZER, NodeVoice, Observed, Progress, Step},
        standing,
    },
};

use super::{Context, ports::gather as gather_ports};

/// How soon a missing Secret is looked for again: nothing announces Secrets, since nobody should watch them all.
const SECRET_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// How soon a port is looked at again that another server's guest has not let go of: nothing announces that to this one.
const HELD_RETRY: std::time::Duration = std::time::Duration::from_secs(2);

/// Reconciles servers.
pub struct ServerController(pub Arc<Context>);

impl Reconciler for ServerController {
    type Object = Server;
    const NAME: &'static str = "server";

    async fn reconcile(&self, server: Arc<Server>) -> Result<Action> {
        let ctx = &*self.0;
        let server = ctx.caches.servers.freshest(server);
        let observed = gather(ctx, &server).await?;
        let decision = server::decide(&server, &observed);
        let now = Timestamp::now();
        let claimed = standing::report(&server, &observed, &decision, None, now);
        let (server, acted) = act(ctx, server, &decision, &claimed).await;
        if acted.is_ok() && decision.progress == Progress::Gone {
            return Ok(Action::await_change());
        }
        let trouble = match acted.as_ref().map_err(Error::failure) {
            // Somebody was faster, or nobody can be told: whatever was decided, nothing of it is known to hold. What is in
            // a namespace that is being deleted is deleted next.
            Err(Failure::Conflict | Failure::Unreachable | Failure::Ending) => {
                return acted.map(|()| later(&decision, &[]));
            }
            Err(Failure::Refused | Failure::NotFound) => {
                acted.as_ref().err().map(|error| telemetry::chain(error))
            }
            Ok(()) => None,
        };
        let done = decision.as_far_as(&server);
        if trouble.is_none()
            && let Some(left) = ctx.ports.patience(&server, &done.progress)
        {
            return Ok(Action::requeue(left));
        }
        let status = standing::report(&server, &observed, &done, trouble.as_deref(), now);
        let reported = report(ctx, &server, status).await;
        acted?;
        reported?;
        Ok(later(&done, &ports::entries(&server, &observed.ports)))
    }
}

/// Reads everything that the decision needs, and asks the scheduler for a place where one is needed.
async fn gather(ctx: &Context, server: &Server) -> Result<Observed> {
    let binding = Binding::of(server);
    let leaving = server.metadata.deletion_timestamp.is_some();
    let guest = match &binding {
        Some(binding) => guest(ctx, server, &binding.node, leaving).await?,
        None => None,
    };
    let resolution = if leaving || guest.is_some() {
        None
    } else {
        Some(resolve::resolve(
            server,
            &found(ctx, server, binding.as_ref()).await?,
        ))
    };
    let ports = gather_ports(ctx, server, guest.as_deref());
    let is_connected = ports::trouble(&ports::entries(server, &ports)).is_none();
    let placement = match (&binding, &resolution) {
        (None, Some(Ok(resolved))) if is_connected => Some(ctx.scheduler.place(server, resolved)),
        _ => None,
    };
    let hypervisor = binding.and_then(|binding| ctx.caches.hypervisors.get(None, &binding.node));
    let node = hypervisor.map_or(NodeVoice::Heard, |hypervisor| node_voice(&hypervisor));
    Ok(Observed {
        guest,
        resolution,
        placement,
        node,
        ports,
    })
}

/// The server's guest. Whether a guest is gone decides whether its server may go, so that is asked of the API
/// server itself; everything else the cache knows well enough.
async fn guest(
    ctx: &Context,
    server: &Server,
    node: &str,
    leaving: bool,
) -> Result<Option<Arc<Guest>>> {
    let (namespace, name) = (node_namespace(node), server.uid().unwrap_or_default());
    let cached = ctx.caches.guests.get(Some(&namespace), &name);
    if cached.is_some() || !leaving {
        return Ok(cached);
    }
    let found = read(&ctx.writer.client(), Some(&namespace), &name).await?;
    Ok(found.map(Arc::new))
}

/// Looks up everything that the server names. A bound server without a guest (its operator died in between, or
/// somebody removed the guest) may have its seed, which is never written twice.
async fn found(ctx: &Context, server: &Server, binding: Option<&Binding>) -> Result<Found> {
    let home = server.namespace().unwrap_or_default();
    let (image_home, image) = server.spec.image.resolve(&home);
    let key_pair = |name: &String| (name.clone(), ctx.caches.key_pairs.get(Some(&home), name));
    Ok(Found {
        flavor: ctx.caches.flavors.get(None, &server.spec.flavor),
        image: ctx.caches.images.get(Some(image_home), image),
        key_pairs: server.spec.key_pairs.iter().map(key_pair).collect(),
        user_data: user_data(ctx, server, &home).await?,
        bound: binding.is_some(),
        seeded: match binding {
            Some(binding) => is_seeded(ctx, server, binding).await?,
            None => false,
        },
    })
}

async fn is_seeded(ctx: &Context, server: &Server, binding: &Binding) -> Result<bool> {
    let (namespace, name) = (
        node_namespace(&binding.node),
        server.uid().unwrap_or_default(),
    );
    let found: Option<Secret> = read(&ctx.writer.client(), Some(&namespace), &name).await?;
    Ok(found.is_some())
}

async fn user_data(ctx: &Context, server: &Server, home: &str) -> Result<UserDataFound> {
    let Some(wanted) = &server.spec.user_data else {
        return Ok(UserDataFound::None);
    };
    if let Some(text) = &wanted.inline {
        return Ok(UserDataFound::Bytes(text.clone().into_bytes()));
    }
    let Some(key) = &wanted.secret else {
        return Ok(UserDataFound::None);
    };
    let secret: Option<Secret> = read(&ctx.writer.client(), Some(home), &key.name).await?;
    Ok(
        match secret.map(|secret| secret.data.unwrap_or_default().remove(&key.key)) {
            Some(Some(bytes)) => UserDataFound::Bytes(bytes.0),
            Some(None) => UserDataFound::NoKey,
            None => UserDataFound::NoSecret,
        },
    )
}

/// Does the steps in their order and stops at the first that fails; the server as the last write left it.
async fn act(
    ctx: &Context,
    server: Arc<Server>,
    decision: &Decision,
    status: &ServerStatus,
) -> (Arc<Server>, Result<()>) {
    let mut server = server;
    for step in &decision.steps {
        match take(ctx, &server, step, status).await {
            Ok(Some(newer)) => {
                ctx.caches.servers.remember(newer.clone());
                server = Arc::new(newer);
            }
            Ok(None) => {}
            Err(error) => {
                // A claim that was refused is no claim: the place goes back. One whose answer was lost may stand.
                let refused = matches!(
                    error.failure(),
                    Failure::Refused | Failure::NotFound | Failure::Ending
                );
                if matches!(step, Step::Hold | Step::Claim) && refused {
                    ctx.scheduler.forget(&server);
                }
                return (server, Err(error));
            }
        }
    }
    (server, Ok(()))
}

/// One step; the server as it is then, if the step wrote it.
async fn take(
    ctx: &Context,
    server: &Server,
    step: &Step,
    status: &ServerStatus,
) -> Result<Option<Server>> {
    match step {
        Step::Hold => ctx.writer.hold(server, FINALIZER).await.map(Some),
        Step::Claim => claim(ctx, server, status).await,
        Step::MakePort(port) => {
            if let Some(made) = ctx.writer.create(&**port).await? {
                ctx.ports.note(&made);
                ctx.caches.ports.remember(made);
            }
            Ok(None)
        }
        Step::DeletePort(port) => ctx.writer.delete(&**port).await.map(|()| None),
        Step::WriteSeed(seed) => ctx.writer.create(&**seed).await.map(|_| None),
        Step::WriteGuest(guest) => {
            let guest = ctx.writer.apply(&**guest).await?;
            ctx.caches.guests.remember(guest);
            Ok(None)
        }
        Step::DeleteGuest(guest) => ctx.writer.delete(&**guest).await.map(|()| None),
        Step::DeleteSeed(node) => ctx
            .writer
            .delete(&seed_of(server, node))
            .await
            .map(|()| None),
        Step::Forget => {
            ctx.scheduler.forget(server);
            ctx.ports.forget(server);
            Ok(None)
        }
        Step::Release => ctx.writer.release(server, FINALIZER).await.map(|()| None),
    }
}

/// The claim is one write of the whole status, and fails if anybody wrote the server since it was read.
async fn claim(ctx: &Context, server: &Server, status: &ServerStatus) -> Result<Option<Server>> {
    let written = ctx
        .writer
        .apply_status(server, status, Claim::Exclusive)
        .await?;
    tell(ctx, server, status);
    Ok(written)
}

/// Says how the server stands, and tells its owner what happened. Like the claim it fails if anybody wrote the server
/// since it was read: the status holds the binding, and an operator that has fallen behind must not bring back an old
/// one.
async fn report(ctx: &Context, server: &Server, status: ServerStatus) -> Result<()> {
    let Some(written) = ctx
        .writer
        .apply_status(server, &status, Claim::Exclusive)
        .await?
    else {
        return Ok(());
    };
    tell(ctx, server, &status);
    ctx.caches.servers.remember(written);
    Ok(())
}

fn tell(ctx: &Context, server: &Server, status: &ServerStatus) {
    let before = server.status.clone().unwrap_or_default();
    if let Some(took) = build_time(server, &before, status) {
        ctx.metrics.built(took);
    }
    for happening in happening::between(&before, status) {
        ctx.reporter.tell(server, happening);
    }
}

fn seed_of(server: &Server, node: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = server.uid();
    secret.metadata.namespace = Some(node_namespace(node));
    secret
}

/// Looks again although nothing has changed.
fn later(decision: &Decision, entries: &[Entry]) -> Action {
    if let Some(Trouble::Held { .. }) = ports::trouble(entries) {
        return Action::requeue(HELD_RETRY);
    }
    Action::requeue(match &decision.progress {
        Progress::Unresolved(_) => SECRET_RETRY,
        Progress::Unconnected(_)
        | Progress::Told
        | Progress::Leaving
        | Progress::Unschedulable(_)
        | Progress::Gone => SLOW_RESYNC,
    })
}

#[cfg(test)]
mod tests;
