//! One long-lived watch: tells what was seen of each object and when, to whoever has listened since before.
//!
//! The watch exists before anything is measured, so that no connection is made inside of a measured time.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use jiff::Timestamp;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{broadcast, oneshot};
use tokio::task::AbortHandle;

/// How many changes a listener may be behind: all that a hundred servers go through, several times.
const BACKLOG_MAX: usize = 16_384;
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// What was seen of one object.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When, by the clock that measures.
    pub at: Instant,
    /// When, by the clock that the audit log tells.
    pub time: Timestamp,
    /// Whether this was the object's end.
    pub gone: bool,
    /// The object.
    pub object: DynamicObject,
}

/// A watch that runs until it is dropped.
pub struct Watch {
    sightings: broadcast::Sender<Arc<Sighting>>,
    task: AbortHandle,
}

/// Hears everything from the moment it was made.
pub struct Listener(broadcast::Receiver<Arc<Sighting>>);

impl Watch {
    /// Opens a watch; returns once it has delivered what is there.
    pub async fn open(api: Api<DynamicObject>) -> Result<Self> {
        let (sightings, _) = broadcast::channel(BACKLOG_MAX);
        let (complete, completed) = oneshot::channel();
        let task = tokio::spawn(follow(api, sightings.clone(), complete)).abort_handle();
        let watch = Self { sightings, task };
        tokio::time::timeout(OPEN_DEADLINE, completed)
            .await
            .context("the API server does not answer a watch")?
            .context("the watch ended at once")?;
        Ok(watch)
    }

    /// Listens from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.sightings.subscribe())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Hears until `wanted` says so of the object of this name; what was seen then.
    pub async fn until(
        &mut self,
        what: &str,
        deadline: Duration,
        mut wanted: impl FnMut(&Sighting) -> bool,
    ) -> Result<Arc<Sighting>> {
        let mut last = String::from("nothing");
        let heard = async {
            loop {
                let sighting = self.0.recv().await.context("the watch fell behind")?;
                if wanted(&sighting) {
                    return anyhow::Ok(sighting);
                }
                last = sighting.object.data["status"].to_string();
            }
        };
        match tokio::time::timeout(deadline, heard).await {
            Ok(heard) => heard,
            Err(_elapsed) => bail!(
                "{what}: not within {} s; last seen: {last}",
                deadline.as_secs()
            ),
        }
    }
}

async fn follow(
    api: Api<DynamicObject>,
    sightings: broadcast::Sender<Arc<Sighting>>,
    complete: oneshot::Sender<()>,
) {
    let mut complete = Some(complete);
    let mut events = pin!(watcher::watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        let (at, time) = (Instant::now(), Timestamp::now());
        let (gone, object) = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => (false, object),
            Ok(Event::Delete(object)) => (true, object),
            Ok(Event::InitDone) => {
                // Whoever waited may have given up.
                let _ = complete.take().map(|complete| complete.send(()));
                continue;
            }
            // The watcher takes itself up again.
            Ok(Event::Init) | Err(_) => continue,
        };
        // Nobody listening is no failure.
        let _ = sightings.send(Arc::new(Sighting {
            at,
            time,
            gone,
            object,
        }));
    }
}
