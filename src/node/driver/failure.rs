//! How a verb fails, and how its calls are counted.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::DomainId;

/// A verb that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {} {subject}", operation.phrase())]
pub struct DriverError {
    /// What was tried.
    pub operation: Operation,
    /// On what.
    pub subject: Subject,
    /// What to do about it.
    pub kind: Failure,
    /// What the hypervisor said.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl DriverError {
    /// The cause of this type, if that is why.
    pub fn cause<T: Error + 'static>(&self) -> Option<&T> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*self.source);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// What a verb was tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One domain.
    Domain(DomainId),
    /// The hypervisor as a whole.
    Host,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(id) => write!(f, "domain {id}"),
            Self::Host => write!(f, "the hypervisor"),
        }
    }
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Look again and try again: it may pass, or what was believed of the domain is out of date.
    Retry,
    /// The same request will fail again: the request or the host must change.
    GiveUp,
    /// The hypervisor cannot be reached: nothing is known. `DriverEvent::Connected` tells when to try again.
    Unreachable,
}

/// The verbs, for messages and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each is the verb of the trait by the same name"
)]
pub enum Operation {
    Connect,
    List,
    Find,
    Define,
    Undefine,
    Start,
    AskShutdown,
    Destroy,
    Pause,
    Resume,
    SuspendToDisk,
    DiscardSaved,
    Reset,
    Nmi,
    Plug,
    Unplug,
    Host,
}

impl Operation {
    /// One word, for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::List => "list",
            Self::Find => "find",
            Self::Define => "define",
            Self::Undefine => "undefine",
            Self::Start => "start",
            Self::AskShutdown => "ask_shutdown",
            Self::Destroy => "destroy",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SuspendToDisk => "suspend_to_disk",
            Self::DiscardSaved => "discard_saved",
            Self::Reset => "reset",
            Self::Nmi => "nmi",
            Self::Plug => "plug",
            Self::Unplug => "unplug",
            Self::Host => "host",
        }
    }

    /// The words that go before the subject in a message.
    fn phrase(self) -> &'static str {
        match self {
            Self::Connect => "connect to",
            Self::List => "list the domains of",
            Self::Find => "look up",
            Self::Define => "define",
            Self::Undefine => "undefine",
            Self::Start => "start",
            Self::AskShutdown => "ask for the shutdown of",
            Self::Destroy => "destroy",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SuspendToDisk => "save to disk",
            Self::DiscardSaved => "discard the saved memory of",
            Self::Reset => "reset",
            Self::Nmi => "send a non-maskable interrupt to",
            Self::Plug => "plug a NIC into",
            Self::Unplug => "plug a NIC out of",
            Self::Host => "learn the facts of",
        }
    }
}

/// How a call ended, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// It failed.
    Failed(Failure),
}

/// Hears of every call: which, how long it took, how it ended. Called on the agent's threads, so it must be quick.
pub type Observer = Arc<dyn Fn(Operation, Duration, Outcome) + Send + Sync>;
