//! Gives every labelled Kubernetes node what its agent needs: a namespace, an account with its rights, a
//! `Hypervisor`. Takes nothing away: a node that lost its label still has guests.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    cluster::{
        Result,
        controller::{Reconciler, SLOW_RESYNC},
    },
    compute::plan::hypervisor::{self, Outfit},
};

use super::Context;

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
        let Outfit {
            namespace,
            account,
            role,
            binding,
            cluster_role,
            cluster_binding,
            hypervisor,
        } = hypervisor::outfit(&node);
        if let Some(known) = ctx.caches.hypervisors.get(None, &node.name_any()) {
            // The kubelet touches its Node every few minutes; only labels matter here.
            if known.labels() == hypervisor.labels() {
                return Ok(Action::requeue(SLOW_RESYNC));
            }
            let labels = hypervisor.labels().clone();
            let written = ctx.writer.set_labels(&*known, &labels).await?;
            ctx.caches.hypervisors.remember(written);
            return Ok(Action::requeue(SLOW_RESYNC));
        }
        ctx.writer.apply(&namespace).await?;
        ctx.writer.apply(&account).await?;
        ctx.writer.apply(&role).await?;
        ctx.writer.apply(&binding).await?;
        ctx.writer.apply(&cluster_role).await?;
        ctx.writer.apply(&cluster_binding).await?;
        // Last, so that a hypervisor that is there has everything that belongs to it.
        ctx.writer.create(&hypervisor).await?;
        Ok(Action::requeue(SLOW_RESYNC))
    }
}
