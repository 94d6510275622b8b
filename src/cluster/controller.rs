//! Runs one controller: takes triggers, calls the reconciler for each object, measures it, and decides when to
//! look again after a failure.
//!
//! Each controller, and each run of it, is a task of its own: a slow run holds up nobody else, and one that panics
//! ends alone. Dropping the controller ends them all.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream, stream::BoxStream};
use kube::{
    Resource,
    runtime::{
        controller::{Action, Config, ReconcileRequest, applier},
        reflector::ObjectRef,
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::{Instrument, debug, error, info_span, warn};

use super::{
    cache::{Cache, Change},
    metrics::{ControllerMetrics, Of, Outcome},
    telemetry,
    writer::{self, Failure, subject},
};

/// How many objects of one kind are worked on at once. The API server's own limit for one client is far above;
/// each takes a few KiB.
const CONCURRENCY_MAX: u16 = 64;

/// After a conflict the watch has usually delivered the newer object by then.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);

/// After a failure that may pass by itself.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// After a failure that will not: still looked at, because people change things that nothing announces.
const AFTER_REFUSAL: Duration = Duration::from_mins(1);

/// After a panic, which is a fault of ours and will hardly pass by itself either.
const AFTER_PANIC: Duration = AFTER_REFUSAL;

/// When nothing is expected: whatever was missed is found by then.
pub const SLOW_RESYNC: Duration = Duration::from_mins(10);

/// Something that makes the world agree with objects of one kind.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Object: Resource<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static;

    /// The name in logs and metrics.
    const NAME: &'static str;

    /// Makes the world agree with this object, as far as can be done now.
    ///
    /// Must be safe to call twice, to drop at any await, and with an object that is no longer the newest.
    fn reconcile(
        &self,
        object: Arc<Self::Object>,
    ) -> impl Future<Output = writer::Result<Action>> + Send;
}

/// References to what must be looked at.
pub type Triggers<K> = BoxStream<'static, ObjectRef<K>>;

/// A trigger for each change of the kind itself.
pub fn own<K>(cache: &Cache<K>) -> Triggers<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let store = cache.store();
    let references = move |change| match change {
        Change::One(object) => vec![ObjectRef::from_obj(&*object)],
        Change::All => store
            .state()
            .iter()
            .map(|object| ObjectRef::from_obj(&**object))
            .collect(),
    };
    stream::once(async { Change::All })
        .chain(cache.changes())
        .flat_map(move |change| stream::iter(references(change)))
        .boxed()
}

/// Triggers for whatever of `K` a change of another kind concerns.
pub fn related<K, O>(
    cache: &Cache<K>,
    other: &Cache<O>,
    concerns: impl Fn(&O) -> Vec<ObjectRef<K>> + Send + 'static,
) -> Triggers<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let store = cache.store();
    let references = move |change| match change {
        Change::One(object) => concerns(&object),
        Change::All => store
            .state()
            .iter()
            .map(|object| ObjectRef::from_obj(&**object))
            .collect(),
    };
    other
        .changes()
        .flat_map(move |change| stream::iter(references(change)))
        .boxed()
}

/// Runs the controller until `stop` says true; then ends the runs that are under way and returns.
pub async fn run<R: Reconciler>(
    reconciler: Arc<R>,
    cache: &Cache<R::Object>,
    triggers: Vec<Triggers<R::Object>>,
    metrics: ControllerMetrics,
    mut stop: watch::Receiver<bool>,
) {
    metrics.begin(R::NAME);
    let stopped = async move {
        // The sender is gone only when the process ends.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let queue = stream::select_all(triggers)
        .map(|reference| Ok::<_, std::convert::Infallible>(ReconcileRequest::from(reference)))
        .take_until(stopped);
    let config = Config::default().concurrency(CONCURRENCY_MAX);
    let shared = cache.shared();
    let work = move |object: Arc<R::Object>, reconciler: Arc<R>| {
        // What is known of it is out of date, and whatever was written would be refused. It is announced once it
        // can be read again.
        if shared.is_unreadable(&ObjectRef::from_obj(&*object)) {
            return std::future::ready(Ok(Action::await_change())).boxed();
        }
        let metrics = metrics.clone();
        apart(object, reconciler, metrics).boxed()
    };
    let controller = applier(
        work,
        |_, error, _| after(error),
        reconciler,
        cache.store(),
        queue,
        config,
    )
    // Failures are logged where they happen; an object that vanished before its turn is no failure.
    .for_each(|_| std::future::ready(()));
    let mut task = JoinSet::new();
    task.spawn(controller);
    if let Some(Err(error)) = task.join_next().await
        && let Ok(panic) = error.try_into_panic()
    {
        // Without this controller the process is of no use, and must not look as if it were.
        std::panic::resume_unwind(panic);
    }
}

/// One run as a task of its own, which ends when this is dropped.
async fn apart<R: Reconciler>(
    object: Arc<R::Object>,
    reconciler: Arc<R>,
    metrics: ControllerMetrics,
) -> writer::Result<Action> {
    let name = subject(&*object);
    let mut task = JoinSet::new();
    task.spawn(measured(object, reconciler, metrics.clone()));
    match task.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) => {
            error!(
                controller = R::NAME,
                object = name,
                %error,
                "a run panicked, which is a fault of this program: please report it; the object is tried again"
            );
            count::<R>(&metrics, "panic");
            Ok(Action::requeue(AFTER_PANIC))
        }
        // There was one task to join.
        None => Ok(Action::requeue(AFTER_PANIC)),
    }
}

async fn measured<R: Reconciler>(
    object: Arc<R::Object>,
    reconciler: Arc<R>,
    metrics: ControllerMetrics,
) -> writer::Result<Action> {
    let name = subject(&*object);
    let span = info_span!("reconcile", controller = R::NAME, object = name);
    let began = Instant::now();
    let result = reconciler.reconcile(object).instrument(span.clone()).await;
    metrics
        .duration
        .get_or_create(&Of {
            controller: R::NAME,
        })
        .observe(began.elapsed().as_secs_f64());
    let outcome = span.in_scope(|| match &result {
        Ok(_) => "ok",
        Err(error) => tell(error),
    });
    count::<R>(&metrics, outcome);
    result
}

fn count<R: Reconciler>(metrics: &ControllerMetrics, outcome: &'static str) {
    let controller = R::NAME;
    let outcome = Outcome {
        controller,
        outcome,
    };
    metrics.outcomes.get_or_create(&outcome).inc();
}

/// Logs a failure as loudly as it deserves, and names it for the metrics.
fn tell(error: &writer::Error) -> &'static str {
    let chain = telemetry::chain(error);
    match error.failure() {
        Failure::Conflict => {
            debug!(error = chain, "somebody else was faster; trying again");
            "conflict"
        }
        Failure::NotFound | Failure::Unreachable => {
            warn!(error = chain, "the run failed; trying again");
            "retry"
        }
        Failure::Ending => {
            debug!(error = chain, "the namespace is being deleted");
            "ending"
        }
        Failure::Refused => {
            warn!(error = chain, "the API server refuses this");
            "refused"
        }
    }
}

/// When to look again after a failure.
fn after(error: &writer::Error) -> Action {
    Action::requeue(match error.failure() {
        Failure::Conflict => AFTER_CONFLICT,
        Failure::NotFound | Failure::Unreachable => AFTER_FAILURE,
        Failure::Refused | Failure::Ending => AFTER_REFUSAL,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::core::v1::Node;
    use tokio::{sync::Notify, time::timeout};

    use super::*;
    use crate::cluster::metrics;

    /// Never ends a run of `slow`, panics once at `broken` and always at `odd`, and ends the rest.
    #[derive(Default)]
    struct Moody {
        broken: AtomicUsize,
        ended: Notify,
        dropped: Arc<Notify>,
    }

    struct Tell(Arc<Notify>);

    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    impl Reconciler for Moody {
        type Object = Node;
        const NAME: &'static str = "moody";

        async fn reconcile(&self, node: Arc<Node>) -> writer::Result<Action> {
            match node.metadata.name.as_deref() {
                Some("slow") => {
                    let _tell = Tell(Arc::clone(&self.dropped));
                    std::future::pending().await
                }
                Some("broken") if self.broken.fetch_add(1, Ordering::SeqCst) == 0 => {
                    panic!("broken")
                }
                Some("odd") => panic!("nobody understands it"),
                _ => {
                    self.ended.notify_one();
                    Ok(Action::await_change())
                }
            }
        }
    }

    fn node(name: &str) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some(name.to_owned());
        node
    }

    #[tokio::test(start_paused = true)]
    async fn runs_end_apart_and_what_cannot_be_read_is_left_alone() {
        let cache = Cache::holding([node("slow"), node("broken"), node("odd")]);
        cache.misread(&node("odd"));
        let reconciler = Arc::new(Moody::default());
        let metrics = ControllerMetrics::new(&mut metrics::registry());
        let (_sender, stop) = watch::channel(false);
        let controller = run(
            Arc::clone(&reconciler),
            &cache,
            vec![own(&cache)],
            metrics.clone(),
            stop,
        );
        let again = timeout(Duration::from_mins(5), reconciler.ended.notified());
        tokio::select! {
            () = controller => panic!("the controller ended"),
            again = again => again.unwrap(),
        }
        assert_eq!(reconciler.broken.load(Ordering::SeqCst), 2);
        let panics = Outcome {
            controller: "moody",
            outcome: "panic",
        };
        assert_eq!(metrics.outcomes.get_or_create(&panics).get(), 1);
        let dropped = timeout(Duration::from_secs(1), reconciler.dropped.notified());
        dropped.await.unwrap();
    }
}
