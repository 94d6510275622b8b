//! Gives every labelled Kubernetes node what its agent and its metadata service need: a namespace, accounts with their
//! rights, a `Hypervisor`; and again when an upgrade wants other rights. Takes nothing away: a node that lost its label still has
//! guests.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    cluster::{
        Result,
        controller::{Reconciler, SLOW_RESYNC},
    },
    compute::plan::hypervisor::{self, Missing, Outfit},
};

use super::Context;

/// How soon it is looked whether the rights that were given are enough: an agent that stays silent is given them again,
/// since they may have been taken away in between.
const AGAIN: Duration = Duration::from_mins(1);

/// Reconciles labelled nodes.
pub struct NodeController(pub Arc<Context>);

impl Reconciler for NodeController {
    type Object = Node;
    const NAME: &'static str = "node";

    async fn reconcile(&self, node: Arc<Node>) -> Result<Action> {
        let ctx = &*self.0;
        if !hypervisor::is_in(&node) || node.metadata.deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        let known = ctx.caches.hypervisors.get(None, &node.name_any());
        let outfit = hypervisor::outfit(&node, &ctx.pod_accounts);
        let missing = outfit.missing(known.as_deref());
        if matches!(missing, Missing::Rights | Missing::Everything) {
            ctx.give_rights(&outfit).await?;
        }
        // Last, so that a hypervisor that is there, and marked with its outfit, has everything that belongs to it.
        match (missing, known) {
            (Missing::Nothing, _) => {}
            (_, None) => drop(ctx.writer.create(&outfit.hypervisor).await?),
            (_, Some(known)) => {
                let marked = ctx.writer.mark(&*known, &outfit.hypervisor).await?;
                ctx.caches.hypervisors.remember(marked);
            }
        }
        Ok(Action::requeue(match missing {
            Missing::Rights => AGAIN,
            Missing::Nothing | Missing::Labels | Missing::Everything => SLOW_RESYNC,
        }))
    }
}

impl Context {
    async fn give_rights(&self, outfit: &Outfit) -> Result<()> {
        self.writer.apply(&outfit.namespace).await?;
        self.writer.apply(&outfit.account).await?;
        self.writer.apply(&outfit.role).await?;
        self.writer.apply(&outfit.binding).await?;
        self.writer.apply(&outfit.cluster_role).await?;
        self.writer.apply(&outfit.cluster_binding).await?;
        let metadata = &outfit.metadata;
        self.writer.apply(&metadata.account).await?;
        self.writer.apply(&metadata.role).await?;
        self.writer.apply(&metadata.binding).await?;
        // Last of them: whoever can log in has every right that it will need.
        for login in [&metadata.login, &outfit.login].into_iter().flatten() {
            self.writer.apply(login).await?;
        }
        Ok(())
    }
}
