//! What changes in a replica, for those who want to know.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::ovsdb::row::Row;
use crate::ovsdb::uuid::Uuid;

/// One row is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of which table.
    pub table: Arc<str>,
    /// Which row.
    pub uuid: Uuid,
    /// What it was; none, if it has come.
    pub before: Option<Arc<Row>>,
    /// What it is; none, if it has gone.
    pub after: Option<Arc<Row>>,
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// One row has changed.
    Row(Change),
    /// The subscriber was too slow, and so many changes are lost to it: it has to look at everything anew.
    Missed(u64),
}

/// A subscription. It is never a reason for the replica to wait.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    pub(super) fn new(receiver: broadcast::Receiver<Change>) -> Self {
        Self(receiver)
    }

    /// The next event; none, when the replica has gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(change) => Some(Event::Row(change)),
            Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
