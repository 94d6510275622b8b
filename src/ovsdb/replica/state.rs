//! The copy itself, and how it changes. Pure: whoever calls it does the locking and announcing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use super::{Change, Told};
use crate::ovsdb::monitor::{Download, Monitors, RowUpdate, TableUpdates, Update};
use crate::ovsdb::row::Row;
use crate::ovsdb::schema::{ColumnType, Schema};
use crate::ovsdb::uuid::Uuid;
use crate::ovsdb::value::Value;

/// A table of no rows.
pub static EMPTY: LazyLock<TableState> = LazyLock::new(TableState::default);

/// All tables.
#[derive(Debug, Default)]
pub struct State {
    pub tables: BTreeMap<Arc<str>, TableState>,
    pub last: Option<Uuid>,
    pub told: Told,
}

/// One table.
#[derive(Debug, Default)]
pub struct TableState {
    /// Whether the server has it.
    pub is_known: bool,
    /// Those that are monitored. Rows share the names.
    columns: BTreeMap<Arc<str>, ColumnType>,
    pub rows: HashMap<Uuid, Arc<Row>>,
}

type Announce<'a> = &'a mut dyn FnMut(Change);

impl State {
    /// Gets ready for a server: its schema may be another one than the last server's.
    pub fn prepare(&mut self, schema: &Schema, monitors: &Monitors) {
        for table in self.tables.values_mut() {
            table.is_known = false;
        }
        for (name, columns) in monitors.known_to(schema) {
            let table = self.tables.entry(name.into()).or_default();
            let kinds = &schema.tables[name].columns;
            let typed = columns
                .into_iter()
                .map(|column| (column.into(), kinds[column].kind));
            let columns: BTreeMap<Arc<str>, ColumnType> = typed.collect();
            if table.columns != columns && !table.columns.is_empty() {
                // What happened since does not say what the other columns held before.
                self.last = None;
            }
            table.columns = columns;
            table.is_known = true;
        }
    }

    /// Takes the answer to a monitor request: all rows, or what has changed since the last transaction.
    pub fn download(&mut self, download: Download, announce: Announce<'_>) -> Result<(), String> {
        let Download {
            is_since,
            last,
            updates,
        } = download;
        if is_since {
            self.told.resumptions += 1;
        } else {
            self.told.downloads += 1;
            self.forget_absent(&updates, announce);
        }
        self.apply(last, updates, announce)
    }

    /// Takes a notification.
    pub fn update(&mut self, update: Update, announce: Announce<'_>) -> Result<(), String> {
        self.apply(update.last, update.updates, announce)
    }

    /// After an error, the copy is a mixture: the next server is asked for everything.
    fn apply(
        &mut self,
        last: Option<Uuid>,
        updates: TableUpdates,
        announce: Announce<'_>,
    ) -> Result<(), String> {
        self.last = None;
        for (name, rows) in updates {
            let Some((name, table)) = self
                .tables
                .get_key_value(name.as_str())
                .map(|(name, _)| Arc::clone(name))
                .and_then(|name| self.tables.get_mut(&name).map(|table| (name, table)))
            else {
                return Err(format!("it tells of table {name}, which nobody asked for"));
            };
            for (uuid, update) in rows {
                self.told.rows += 1;
                let before = table.rows.get(&uuid).cloned();
                let after = table.row_after(before.as_deref(), update);
                let after = after.map_err(|why| format!("row {uuid} of table {name}: {why}"))?;
                let after = after.map(Arc::new);
                if before == after {
                    continue;
                }
                match &after {
                    Some(row) => table.rows.insert(uuid, Arc::clone(row)),
                    None => table.rows.remove(&uuid),
                };
                announce(Change {
                    table: Arc::clone(&name),
                    uuid,
                    before,
                    after,
                });
            }
        }
        self.last = last;
        Ok(())
    }

    /// Lets go of the rows that are not among all rows.
    fn forget_absent(&mut self, all: &TableUpdates, announce: Announce<'_>) {
        for (name, table) in &mut self.tables {
            let told = all.get(&**name).map(Vec::as_slice).unwrap_or_default();
            let present: std::collections::HashSet<Uuid> =
                told.iter().map(|(uuid, _)| *uuid).collect();
            table.rows.retain(|uuid, row| {
                let stays = present.contains(uuid);
                if !stays {
                    let (table, before) = (Arc::clone(name), Some(Arc::clone(row)));
                    announce(Change {
                        table,
                        uuid: *uuid,
                        before,
                        after: None,
                    });
                }
                stays
            });
        }
    }
}

impl TableState {
    /// What a row is after an update; nothing, if it has gone.
    fn row_after(&self, before: Option<&Row>, update: RowUpdate) -> Result<Option<Row>, String> {
        match (before, update) {
            // One that has gone may be told twice: once in a download, and once more after it.
            (_, RowUpdate::Gone) => Ok(None),
            (_, RowUpdate::Is(columns)) => {
                let mut row = Row::new();
                for (column, value) in columns {
                    self.write(&mut row, &column, value)?;
                }
                Ok(Some(row))
            }
            (Some(before), RowUpdate::Changed(columns)) => {
                let mut row = before.clone();
                for (column, difference) in columns {
                    let (_, kind) = self.column(&column)?;
                    let value = if kind.is_many {
                        let old = row.take(&column).unwrap_or_else(Value::empty);
                        old.changed_by(difference)
                    } else {
                        difference
                    };
                    self.write(&mut row, &column, value)?;
                }
                Ok(Some(row))
            }
            (None, RowUpdate::Changed(_)) => Err("it has changed, and was never there".to_owned()),
        }
    }

    fn write(&self, row: &mut Row, column: &str, value: Value) -> Result<(), String> {
        let (name, kind) = self.column(column)?;
        if kind.is_default(&value) {
            row.take(column);
        } else {
            row.set(Arc::clone(name), value);
        }
        Ok(())
    }

    fn column(&self, column: &str) -> Result<(&Arc<str>, ColumnType), String> {
        let found = self.columns.get_key_value(column);
        found
            .map(|(name, kind)| (name, *kind))
            .ok_or_else(|| format!("it has column {column}, which nobody asked for"))
    }
}
