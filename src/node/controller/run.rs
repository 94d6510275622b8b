//! Which controller listens to what: the wiring of the agent.

use std::sync::Arc;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{broadcast, mpsc, watch};

use crate::{
    api::{guest::Guest, value::Sha256},
    cluster::{
        controller::{Triggers, own, run},
        metrics::ControllerMetrics,
    },
    node::driver::{Driver, DriverEvent},
};

use super::{Context, guard, guest::GuestController, heartbeat, host, leftovers, sweep};

/// Runs every controller of the agent until `stop` says true.
pub async fn all<D: Driver>(
    ctx: Arc<Context<D>>,
    metrics: ControllerMetrics,
    stop: watch::Receiver<bool>,
) {
    // One word of news is as good as ten.
    let (tell, news) = mpsc::channel(1);
    let triggers = vec![
        own(&ctx.guests),
        events(Arc::clone(&ctx), tell.clone()),
        images(Arc::clone(&ctx), tell.clone()),
        guard::concerned(Arc::clone(&ctx)),
    ];
    let beats = heartbeat::beat(
        ctx.writer.clone(),
        ctx.namespace.clone(),
        ctx.node.clone(),
        stop.clone(),
    );
    // A task of its own: no file system that is slow to answer may silence the node.
    let beats = async {
        if let Err(error) = tokio::spawn(beats).await {
            tracing::error!(%error, "the heartbeat broke off");
        }
    };
    tokio::join!(
        beats,
        run(
            Arc::new(GuestController(Arc::clone(&ctx))),
            &ctx.guests,
            triggers,
            metrics,
            stop.clone()
        ),
        until(guard::keep_guarding(&ctx, tell.clone()), stop.clone()),
        until(leftovers::keep_removing(&ctx), stop.clone()),
        until(ctx.switch.keep_telling(tell), stop.clone()),
        host::report::keep_reporting(Arc::clone(&ctx), news, stop.clone()),
        sweep::keep_sweeping(Arc::clone(&ctx), stop),
    );
}

/// Does `work` until `stop` says true.
async fn until(work: impl Future<Output = ()>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// A trigger for each guest that something happened to; for all of them when events may have been missed.
fn events<D: Driver>(ctx: Arc<Context<D>>, tell: mpsc::Sender<()>) -> Triggers<Guest> {
    let source = ctx.driver.events().into_stream();
    let concerned = move |event| match event {
        DriverEvent::Domain { id, what } => {
            let uid = id.to_string();
            // Other people's domains make events too.
            if ctx.guests.get(Some(&ctx.namespace), &uid).is_none() {
                return Vec::new();
            }
            ctx.memory.note(&uid, what, Timestamp::now());
            vec![ObjectRef::new(&uid).within(&ctx.namespace)]
        }
        DriverEvent::Connected | DriverEvent::Disconnected | DriverEvent::Missed => {
            let _ = tell.try_send(());
            every(&ctx)
        }
    };
    source
        .flat_map(move |event| stream::iter(concerned(event)))
        .boxed()
}

/// A trigger for each guest whose image has moved on.
fn images<D: Driver>(ctx: Arc<Context<D>>, tell: mpsc::Sender<()>) -> Triggers<Guest> {
    let changes = stream::unfold(ctx.images.changes(), |mut changes| async {
        match changes.recv().await {
            Ok(digest) => Some((Some(digest), changes)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some((None, changes)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    });
    let concerned = move |digest: Option<Sha256>| {
        let _ = tell.try_send(());
        let uses = |guest: &Guest| {
            digest
                .as_ref()
                .is_none_or(|digest| guest.spec.root_disk.image.sha256 == *digest)
        };
        let guests = ctx.guests.all();
        guests
            .iter()
            .filter(|guest| uses(guest))
            .map(|guest| ObjectRef::from_obj(&**guest))
            .collect::<Vec<_>>()
    };
    changes
        .flat_map(move |digest| stream::iter(concerned(digest)))
        .boxed()
}

fn every<D: Driver>(ctx: &Context<D>) -> Vec<ObjectRef<Guest>> {
    ctx.guests
        .all()
        .iter()
        .map(|guest| ObjectRef::from_obj(&**guest))
        .collect()
}
