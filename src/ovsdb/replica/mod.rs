//! A copy of tables, kept by what the server tells, and a stream of what changes in it.
//!
//! What the server tells at once is seen at once: a [`View`] never shows half a transaction. A change is announced only after
//! the copy holds it.

mod changes;
mod state;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{broadcast, watch};

pub use changes::{Change, Changes, Event};

use state::State;

use super::monitor::{Download, Monitors, Update};
use super::row::{ColumnError, Row, Table};
use super::schema::Schema;
use super::uuid::Uuid;

/// How many changes a subscriber may be behind; one that is behind further is told that it missed some.
const CHANGES_MAX: usize = 4096;

/// A handle of the copy.
#[derive(Clone, Debug)]
pub struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: RwLock<State>,
    changes: broadcast::Sender<Change>,
    /// How often something was told.
    version: watch::Sender<u64>,
}

/// How much was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many rows, or changes of rows, the server has sent.
    pub rows: u64,
    /// How many times it has sent everything.
    pub downloads: u64,
    /// How many times it has sent only what was missing.
    pub resumptions: u64,
}

/// The copy as it is at one moment, as long as this is held: the server's news wait meanwhile.
pub struct View<'a>(RwLockReadGuard<'a, State>);

impl Default for Replica {
    fn default() -> Self {
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let (version, _) = watch::channel(0);
        Self(Arc::new(Inner {
            state: RwLock::default(),
            changes,
            version,
        }))
    }
}

impl Replica {
    /// The copy as it is now. Not to be held across an await.
    pub fn view(&self) -> View<'_> {
        View(self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What changes from now on.
    pub fn changes(&self) -> Changes {
        Changes::new(self.0.changes.subscribe())
    }

    /// How much was told so far.
    pub fn told(&self) -> Told {
        self.view().0.told
    }

    /// Waits until the copy is as it shall be. Safe to cancel.
    pub async fn until<T>(&self, mut sought: impl FnMut(&View<'_>) -> Option<T>) -> T {
        let mut version = self.0.version.subscribe();
        loop {
            if let Some(found) = sought(&self.view()) {
                return found;
            }
            // The sender is in this very handle.
            let _ = version.changed().await;
        }
    }

    /// The newest transaction in it: what to ask for the rest with.
    pub(super) fn last(&self) -> Option<Uuid> {
        self.view().0.last
    }

    /// Gets ready for the tables of a server. What is in the copy stays.
    pub(super) fn prepare(&self, schema: &Schema, monitors: &Monitors) {
        self.state().prepare(schema, monitors);
    }

    /// Takes the answer to a monitor request.
    pub(super) fn download(&self, download: Download) -> Result<(), String> {
        self.take(|state, announce| state.download(download, announce))
    }

    /// Takes a notification.
    pub(super) fn update(&self, update: Update) -> Result<(), String> {
        self.take(|state, announce| state.update(update, announce))
    }

    fn take(
        &self,
        take: impl FnOnce(&mut State, &mut dyn FnMut(Change)) -> Result<(), String>,
    ) -> Result<(), String> {
        let is_heard = self.0.changes.receiver_count() > 0;
        let mut changes = Vec::new();
        let taken = take(&mut self.state(), &mut |change| {
            if is_heard {
                changes.push(change);
            }
        });
        for change in changes {
            // Whoever listened has gone.
            let _ = self.0.changes.send(change);
        }
        self.0.version.send_modify(|version| *version += 1);
        taken
    }

    // A panic while writing would leave a part of an update: the next download puts it right, as after an error.
    fn state(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View<'_> {
    /// A row by its UUID; none, if there is no such row.
    pub fn get<T: Table>(&self, uuid: Uuid) -> Result<Option<T>, ColumnError> {
        self.row(T::NAME, uuid)
            .map(|row| T::from_row(row))
            .transpose()
    }

    /// All rows of a table, in no order.
    pub fn rows<T: Table>(&self) -> impl Iterator<Item = Result<(Uuid, T), ColumnError>> {
        self.raw_rows(T::NAME)
            .map(|(uuid, row)| Ok((uuid, T::from_row(row)?)))
    }

    /// How many rows a table has.
    pub fn count<T: Table>(&self) -> usize {
        self.raw_rows(T::NAME).len()
    }

    /// Whether the server that told last has the table, and it is monitored.
    pub fn has_table<T: Table>(&self) -> bool {
        self.0
            .tables
            .get(T::NAME)
            .is_some_and(|table| table.is_known)
    }

    /// A row as it was told.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Arc<Row>> {
        self.0.tables.get(table)?.rows.get(&uuid)
    }

    /// All rows of a table as they were told, in no order.
    pub fn raw_rows(&self, table: &str) -> impl ExactSizeIterator<Item = (Uuid, &Arc<Row>)> {
        let table = self.0.tables.get(table).unwrap_or(&state::EMPTY);
        table.rows.iter().map(|(uuid, row)| (*uuid, row))
    }
}

#[cfg(test)]
mod tests;
