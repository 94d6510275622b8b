//! Kubernetes events: what a user should know, told once, on the object that it is about.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter as Origin},
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{
    request::{Failure, in_time},
    telemetry,
};

/// Publishes events as one component.
#[derive(Clone)]
pub struct Reporter {
    waiting: mpsc::Sender<(ObjectReference, Happening)>,
}

/// What happened. `reason` is one CamelCase word, `action` what was being done, `note` a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Whether somebody should look.
    pub grave: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// What was being done, in one CamelCase word.
    pub action: &'static str,
    /// One sentence.
    pub note: String,
}

/// Kubernetes refuses longer notes.
const NOTE_BYTES_MAX: usize = 1024;

/// How many events may wait to be published. More than that at once and the newest are dropped, with a word in
/// the log: events are for people, and nobody reads a thousand at once.
const WAITING_MAX: usize = 1024;

impl Reporter {
    /// Events come from `component`, of which this process is `instance`.
    pub fn new(client: Client, component: &str, instance: String) -> Self {
        let origin = Origin {
            controller: component.to_owned(),
            instance: Some(instance),
        };
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        tokio::spawn(publish(Recorder::new(client, origin), queue));
        Self { waiting }
    }

    /// Tells it, without making the caller wait: an event must not hold up the work.
    pub fn tell<K: Resource<DynamicType = ()>>(&self, about: &K, happening: Happening) {
        if self
            .waiting
            .try_send((about.object_ref(&()), happening))
            .is_err()
        {
            warn!("too many events at once: one was dropped");
        }
    }
}

async fn publish(recorder: Recorder, mut queue: mpsc::Receiver<(ObjectReference, Happening)>) {
    while let Some((about, happening)) = queue.recv().await {
        let event = Event {
            type_: if happening.grave {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: happening.reason.to_owned(),
            note: Some(shortened(happening.note)),
            action: happening.action.to_owned(),
            secondary: None,
        };
        let subject = format!(
            "{} {}",
            about.kind.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default()
        );
        let publishing = recorder.publish(&event, &about);
        let Err(error) = in_time("publish an event on", subject, publishing).await else {
            continue;
        };
        let (reason, chain) = (event.reason, telemetry::chain(&error));
        match error.failure() {
            // Whoever deletes a namespace wants to hear no more of what is in it.
            Failure::Ending | Failure::NotFound => {
                debug!(
                    reason,
                    error = chain,
                    "an event came too late for its namespace"
                );
            }
            Failure::Refused | Failure::Conflict | Failure::Unreachable => {
                warn!(reason, error = chain, "an event could not be published");
            }
        }
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > NOTE_BYTES_MAX {
        let end = (0..=NOTE_BYTES_MAX - '…'.len_utf8())
            .rev()
            .find(|at| note.is_char_boundary(*at))
            .unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}
