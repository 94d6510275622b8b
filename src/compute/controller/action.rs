//! Hands each `ServerAction` to its server's node once and records how it ended. Never decides: see `plan::action`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use serde_json::json;

use crate::{
    api::{
        guest::{Guest, GuestAction},
        node_namespace,
        server::Server,
        server_action::{ActionState, ServerAction},
    },
    cluster::{
        Result, Writer,
        controller::{Reconciler, SLOW_RESYNC},
        read,
        reporter::Happening,
        writer::Claim,
    },
    compute::plan::{
        action::{self, Decision, History, Observed},
        server::Binding,
    },
};

use super::Context;

/// The field manager of a guest's `action`, apart from the rest of the guest, which the server controller owns.
pub const MANAGER: &str = "kilonova-actions";

/// Reconciles actions.
pub struct ActionController {
    /// What every controller works with.
    pub context: Arc<Context>,
    /// Writes as [`MANAGER`].
    pub writer: Writer,
}

impl Reconciler for ActionController {
    type Object = ServerAction;
    const NAME: &'static str = "action";

    async fn reconcile(&self, action: Arc<ServerAction>) -> Result<Action> {
        let ctx = &*self.context;
        let action = ctx.caches.actions.freshest(action);
        if action.metadata.deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        let now = Timestamp::now();
        if let Some(history) = action::history(&action, now) {
            return self.remember(&action, history).await;
        }
        let server = server(ctx, &action).await?;
        let guest = server.as_deref().and_then(|server| guest(ctx, server));
        let earlier = earlier(ctx, &action);
        let observed = Observed {
            server: server.as_deref(),
            guest: guest.as_deref(),
            earlier,
        };
        let decision = action::decide(&action, &observed, now);
        if let (Decision::Hand(verb), Some(guest)) = (&decision, &guest) {
            self.hand(guest, verb).await?;
        }
        let status = action::report(&action, &decision, now);
        let written = ctx
            .writer
            .apply_status(&*action, &status, Claim::Shared)
            .await?;
        if let Some(written) = written {
            if let Some(server) = server
                .as_deref()
                .filter(|_| status.state.is_some_and(ActionState::is_final))
            {
                let happening = ended(&written);
                ctx.reporter.tell(server, happening);
            }
            ctx.caches.actions.remember(written);
        }
        Ok(Action::requeue(SLOW_RESYNC))
    }
}

impl ActionController {
    /// Keeps the record of an action that has ended for as long as it is to be kept.
    async fn remember(&self, action: &ServerAction, history: History) -> Result<Action> {
        match history {
            History::Keep(left) => Ok(Action::requeue(left)),
            History::Expire => {
                self.context.writer.delete(action).await?;
                Ok(Action::await_change())
            }
        }
    }

    /// Writes the guest's `action` and nothing else of it.
    async fn hand(&self, guest: &Guest, action: &GuestAction) -> Result<()> {
        let fields = json!({ "spec": { "action": action } });
        let written = self.writer.apply_fields(guest, fields).await?;
        self.context.caches.guests.remember(written);
        Ok(())
    }
}

/// The server that the action names. That there is none fails the action for good, so the API server itself is
/// asked before that is believed.
async fn server(ctx: &Context, action: &ServerAction) -> Result<Option<Arc<Server>>> {
    let (namespace, name) = (action.namespace().unwrap_or_default(), &action.spec.server);
    let cached = ctx.caches.servers.get(Some(&namespace), name);
    if cached.is_some() {
        return Ok(cached);
    }
    let found = read(&ctx.writer.client(), Some(&namespace), name).await?;
    Ok(found.map(Arc::new))
}

fn guest(ctx: &Context, server: &Server) -> Option<Arc<Guest>> {
    let binding = Binding::of(server)?;
    ctx.caches
        .guests
        .get(Some(&node_namespace(&binding.node)), &server.uid()?)
}

/// The first action on the same server that has not ended and goes before this one.
fn earlier(ctx: &Context, action: &ServerAction) -> Option<String> {
    let age = |action: &ServerAction| (action.creation_timestamp(), action.name_any());
    let others = ctx.caches.actions.all().into_iter().filter(|other| {
        other.namespace() == action.namespace()
            && other.spec.server == action.spec.server
            && age(other) < age(action)
            && !action::is_finished(other)
    });
    others
        .min_by_key(|other| age(other))
        .map(|other| other.name_any())
}

fn ended(action: &ServerAction) -> Happening {
    let status = action.status.clone().unwrap_or_default();
    let failed = status.state == Some(ActionState::Failed);
    let verb = status
        .verb
        .map_or_else(String::new, |verb| format!("{verb:?}"));
    Happening {
        grave: failed,
        reason: if failed {
            "ActionFailed"
        } else {
            "ActionSucceeded"
        },
        action: "Act",
        note: format!(
            "{verb} ({}): {}",
            action.name_any(),
            status.message.unwrap_or_default()
        ),
    }
}
