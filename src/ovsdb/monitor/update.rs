//! What a server tells of rows, in whichever of its three ways.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Method;
use crate::ovsdb::uuid::Uuid;
use crate::ovsdb::value::Value;
use crate::ovsdb::wire::Notification;

/// What is told is not what ovsdb-server(7) says that it is.
#[derive(Debug, thiserror::Error)]
#[error("{method} is not understood")]
pub struct SenselessUpdate {
    method: String,
    source: serde_json::Error,
}

type Columns = BTreeMap<String, Value>;

/// What is told of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowUpdate {
    /// It is there, with these columns; those that are left out are as they began.
    Is(Columns),
    /// These columns have changed by this much.
    Changed(Columns),
    /// It is there no more.
    Gone,
}

/// What is told at once: what one transaction did, or several.
pub type TableUpdates = BTreeMap<String, Vec<(Uuid, RowUpdate)>>;

/// The answer to a monitor request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Whether it tells only what has changed since the transaction that was named, and not everything.
    pub is_since: bool,
    /// The newest transaction in it, if the server numbers them.
    pub last: Option<Uuid>,
    /// The rows.
    pub updates: TableUpdates,
}

/// What is told later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The name that was given in the request.
    pub id: String,
    /// The newest transaction in it, if the server numbers them.
    pub last: Option<Uuid>,
    /// The rows.
    pub updates: TableUpdates,
}

/// `<table-updates2>`.
type Wire2 = BTreeMap<String, BTreeMap<Uuid, RowWire2>>;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RowWire2 {
    Initial(Columns),
    Insert(Columns),
    Modify(Columns),
    Delete(IgnoredAny),
}

/// `<table-updates>`.
type Wire1 = BTreeMap<String, BTreeMap<Uuid, RowWire1>>;

#[derive(Deserialize)]
struct RowWire1 {
    /// All columns that are monitored, also of a row that has changed.
    new: Option<Columns>,
}

impl From<RowWire2> for RowUpdate {
    fn from(row: RowWire2) -> Self {
        match row {
            RowWire2::Initial(columns) | RowWire2::Insert(columns) => Self::Is(columns),
            RowWire2::Modify(columns) => Self::Changed(columns),
            RowWire2::Delete(_) => Self::Gone,
        }
    }
}

impl From<RowWire1> for RowUpdate {
    fn from(row: RowWire1) -> Self {
        row.new.map_or(Self::Gone, Self::Is)
    }
}

fn tables<R: Into<RowUpdate>>(wire: BTreeMap<String, BTreeMap<Uuid, R>>) -> TableUpdates {
    let rows = |rows: BTreeMap<Uuid, R>| {
        rows.into_iter()
            .map(|(uuid, row)| (uuid, row.into()))
            .collect()
    };
    wire.into_iter()
        .map(|(table, of_it)| (table, rows(of_it)))
        .collect()
}

fn parse<'a, T: Deserialize<'a>>(method: &str, raw: &'a RawValue) -> Result<T, SenselessUpdate> {
    serde_json::from_str(raw.get()).map_err(|source| SenselessUpdate {
        method: method.to_owned(),
        source,
    })
}

impl Download {
    /// Reads the answer to a request of this kind.
    pub fn read(method: Method, answer: &RawValue) -> Result<Self, SenselessUpdate> {
        let name = method.name();
        let (is_since, last, updates) = match method {
            Method::CondSince => {
                let (found, last, updates): (bool, Uuid, Wire2) = parse(name, answer)?;
                (found, numbered(last), tables(updates))
            }
            Method::Cond => (false, None, tables(parse::<Wire2>(name, answer)?)),
            Method::Plain => (false, None, tables(parse::<Wire1>(name, answer)?)),
        };
        Ok(Self {
            is_since,
            last,
            updates,
        })
    }
}

impl Update {
    /// Reads a notification; nothing, if it is about something else.
    pub fn read(notification: &Notification) -> Result<Option<Self>, SenselessUpdate> {
        let Notification { method, params } = notification;
        let (id, last, updates) = match method.as_str() {
            "update" => {
                let (id, updates): (String, Wire1) = parse(method, params)?;
                (id, None, tables(updates))
            }
            "update2" => {
                let (id, updates): (String, Wire2) = parse(method, params)?;
                (id, None, tables(updates))
            }
            "update3" => {
                let (id, last, updates): (String, Uuid, Wire2) = parse(method, params)?;
                (id, numbered(last), tables(updates))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { id, last, updates }))
    }
}

/// A server that numbers no transactions calls all of them zero.
fn numbered(transaction: Uuid) -> Option<Uuid> {
    Some(transaction).filter(|transaction| !transaction.is_nil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    const ROW: &str = "36bef046-7da7-43a5-905a-c17899216fcb";

    fn told(method: &str, params: &Json) -> Result<Option<Update>, SenselessUpdate> {
        let params = serde_json::value::to_raw_value(params).unwrap();
        Update::read(&Notification {
            method: method.to_owned(),
            params,
        })
    }

    fn only(method: &str, params: &Json) -> (String, Option<Uuid>, RowUpdate) {
        let Update {
            id,
            last,
            mut updates,
        } = told(method, params).unwrap().unwrap();
        (id, last, updates.get_mut("T").unwrap().remove(0).1)
    }

    #[test]
    fn all_three_notifications_are_read() {
        let columns = json!({"name": "a"});
        let read: Columns = serde_json::from_value(columns.clone()).unwrap();
        let row = |row: Json| json!({"T": {ROW: row}});
        for (method, wire, expected) in [
            (
                "update",
                json!({"new": columns}),
                RowUpdate::Is(read.clone()),
            ),
            (
                "update",
                json!({"old": {"name": "b"}, "new": columns}),
                RowUpdate::Is(read.clone()),
            ),
            ("update", json!({"old": columns}), RowUpdate::Gone),
            (
                "update2",
                json!({"initial": columns}),
                RowUpdate::Is(read.clone()),
            ),
            (
                "update2",
                json!({"insert": columns}),
                RowUpdate::Is(read.clone()),
            ),
            (
                "update2",
                json!({"modify": columns}),
                RowUpdate::Changed(read.clone()),
            ),
            ("update2", json!({"delete": null}), RowUpdate::Gone),
        ] {
            let (id, last, update) = only(method, &json!(["id", row(wire.clone())]));
            assert_eq!(
                (id.as_str(), last, update),
                ("id", None, expected),
                "{method} {wire}"
            );
        }
        let (_, last, update) = only("update3", &json!(["id", ROW, row(json!({"delete": {}}))]));
        assert_eq!(
            (last, update),
            (Some(ROW.parse().unwrap()), RowUpdate::Gone)
        );
        assert!(matches!(told("locked", &json!(["lock"])), Ok(None)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (method, params) in [
            ("update2", json!([])),
            ("update2", json!(["id", {"T": {"short": {"delete": null}}}])),
            ("update2", json!(["id", {"T": {ROW: {}}}])),
            ("update2", json!(["id", {"T": {ROW: {"other": {}}}}])),
            (
                "update2",
                json!(["id", {"T": {ROW: {"insert": {"name": null}}}}]),
            ),
            ("update3", json!(["id", {"T": {}}])),
        ] {
            assert!(told(method, &params).is_err(), "{method} {params}");
        }
    }
}
