//! Which reconciler listens to what: the wiring of the operator's network room.

use std::sync::Arc;

use futures::{StreamExt, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{broadcast::error::RecvError, watch};

use crate::{
    api::{
        floating_ip::FloatingIP, load_balancer::LoadBalancer, network::Network, port::Port,
        router::Router, security_group::SecurityGroup, subnet::Subnet,
    },
    cluster::{
        controller::{Triggers, own, run},
        metrics::ControllerMetrics,
    },
};

use super::{Call, Context, kind::Kind, reconcile::Controller, survey};

/// Runs every controller until `stop` says true.
pub async fn all(ctx: Arc<Context>, metrics: ControllerMetrics, stop: watch::Receiver<bool>) {
    // Nobody is given anything before it is known what is taken.
    survey::once(&ctx).await;
    tokio::join!(
        survey::keep(Arc::clone(&ctx), stop.clone()),
        of::<Network>(&ctx, &metrics, &stop),
        of::<Subnet>(&ctx, &metrics, &stop),
        of::<Port>(&ctx, &metrics, &stop),
        of::<Router>(&ctx, &metrics, &stop),
        of::<SecurityGroup>(&ctx, &metrics, &stop),
        of::<FloatingIP>(&ctx, &metrics, &stop),
        of::<LoadBalancer>(&ctx, &metrics, &stop),
    );
}

async fn of<K: Kind>(
    ctx: &Arc<Context>,
    metrics: &ControllerMetrics,
    stop: &watch::Receiver<bool>,
) {
    let cache = K::cache(&ctx.caches);
    run(
        Arc::new(Controller::<K>::new(Arc::clone(ctx))),
        cache,
        vec![own(cache), called(ctx)],
        metrics.clone(),
        stop.clone(),
    )
    .await;
}

/// Whoever the survey, or the realiser, calls.
fn called<K: Kind>(ctx: &Context) -> Triggers<K> {
    let store = K::cache(&ctx.caches).store();
    let kind = K::kind(&());
    let references = move |call: Call| -> Vec<ObjectRef<K>> {
        match call {
            Call::These(origins) => {
                let mine = origins.iter().filter(|origin| origin.kind == kind);
                mine.map(|origin| ObjectRef::new(&origin.name).within(&origin.namespace))
                    .collect()
            }
            Call::All => {
                let all = store.state();
                all.iter()
                    .map(|object| ObjectRef::from_obj(&**object))
                    .collect()
            }
        }
    };
    let calls = stream::unfold(ctx.calls.subscribe(), |mut calls| async {
        match calls.recv().await {
            Ok(call) => Some((call, calls)),
            Err(RecvError::Lagged(_)) => Some((Call::All, calls)),
            Err(RecvError::Closed) => None,
        }
    });
    calls
        .flat_map(move |call| stream::iter(references(call)))
        .boxed()
}
