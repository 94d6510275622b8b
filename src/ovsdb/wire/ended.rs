//! Why connections end and requests fail, and whether what was requested may have been carried out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::frame::FrameError;
use super::message::MessageError;

/// Why a connection has ended. It does not come back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Ended {
    /// The peer closed it between two messages.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed it, and a message is not complete.
    #[error("the peer closed the connection in the midst of a message")]
    ClosedWithin,
    /// The operating system, or TLS, says so.
    #[error("the connection broke")]
    Io(#[source] Arc<io::Error>),
    /// The peer sends something else.
    #[error(transparent)]
    Frame(FrameError),
    /// The peer sends JSON that is no JSON-RPC.
    #[error(transparent)]
    Message(Arc<MessageError>),
    /// The peer answers a request that was never made.
    #[error("the peer answers request {0}, which was not made")]
    NeverAsked(u64),
    /// Not a byte, although it was asked for one.
    #[error("the peer said nothing for {} s, and did not answer an echo", .0.as_secs())]
    Silent(Duration),
    /// Bytes come, and the message does not end.
    #[error("a message of the peer's was not complete after {} s", .0.as_secs())]
    Trickling(Duration),
    /// What is written stays in this machine's buffers.
    #[error("the peer took no data for {} s", .0.as_secs())]
    NotReading(Duration),
    /// Who listens here cannot do anything with what the peer sends.
    #[error("a message of the peer's makes no sense: {0}")]
    Senseless(String),
    /// Nobody here needs it any more.
    #[error("the connection was given up here")]
    GivenUp,
}

/// Whether a request that failed may have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Certainly not: it was not sent, or was refused.
    NotDone,
    /// It was sent, and nobody here knows.
    Unknown,
}

/// A request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection ended first.
    #[error("the connection ended")]
    Ended {
        /// Why.
        #[source]
        reason: Ended,
        /// Whether it may have been carried out.
        outcome: Outcome,
    },
    /// There was no answer in time. One that comes later is thrown away.
    #[error("no answer within {} s", timeout.as_secs())]
    Late {
        /// How long it was waited for.
        timeout: Duration,
        /// Whether it may have been carried out.
        outcome: Outcome,
    },
    /// The server refuses the request as a whole, and has done nothing.
    #[error("the server refuses it: {}", words(.0))]
    Refused(Value),
    /// The server's answer is not what RFC 7047 says that it is. What was requested may have been carried out.
    #[error("the server's answer makes no sense")]
    Senseless(#[source] serde_json::Error),
    /// The request cannot be written as JSON: nothing was sent.
    #[error("the request cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl RequestError {
    /// Whether the request may have been carried out.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Ended { outcome, .. } | Self::Late { outcome, .. } => *outcome,
            Self::Refused(_) | Self::Unwritable(_) => Outcome::NotDone,
            Self::Senseless(_) => Outcome::Unknown,
        }
    }

    /// What the server calls the fault, if it refuses the request: an `<error>` of RFC 7047 or only its name.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => error["error"].as_str().or(error.as_str()),
            _ => None,
        }
    }
}

/// An error of a server's, for people.
fn words(error: &Value) -> String {
    let name = error["error"].as_str().or(error.as_str());
    match (name, error["details"].as_str()) {
        (Some(name), Some(details)) => format!("{name} ({details})"),
        (Some(name), None) => name.to_owned(),
        (None, _) => error.to_string(),
    }
}
