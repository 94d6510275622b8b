//! The copy is what the server has, whichever way it is told, and whatever was in the copy before.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::ovsdb::monitor::{Method, RowUpdate, TableUpdates};
use crate::ovsdb::table;
use crate::ovsdb::value::{Atom, Column, Value};
use futures::FutureExt;
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde_json::json;

table! {
    /// One column of each kind.
    pub struct Thing in "Thing" {
        /// One.
        pub name: String,
        /// One or none.
        pub number: Option<i64>,
        /// Many.
        pub tags: BTreeSet<String>,
        /// Pairs.
        pub ids: BTreeMap<String, i64>,
    }
}

fn schema() -> Schema {
    let many = |key: &str| json!({"type": {"key": key, "min": 0, "max": "unlimited"}});
    let columns = json!({
        "name": {"type": "string"},
        "number": {"type": {"key": "integer", "min": 0, "max": 1}},
        "tags": many("string"),
        "ids": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
    });
    serde_json::from_value(json!({"name": "db", "tables": {"Thing": {"columns": columns}}}))
        .unwrap()
}

fn replica() -> Replica {
    let replica = Replica::default();
    replica.prepare(&schema(), &Monitors::new().table::<Thing>());
    replica
}

fn thing() -> impl Strategy<Value = Thing> {
    let word = || "[a-c]{0,1}";
    (
        word(),
        proptest::option::of(0..2_i64),
        btree_set(word(), 0..3),
        btree_map(word(), 0..2_i64, 0..3),
    )
        .prop_map(|(name, number, tags, ids)| Thing {
            name,
            number,
            tags,
            ids,
        })
}

type Things = BTreeMap<u8, Thing>;

fn things() -> impl Strategy<Value = Things> {
    btree_map(0..4_u8, thing(), 0..4)
}

fn uuid(number: u8) -> Uuid {
    Uuid::from(u128::from(number) + 1)
}

fn columns(row: &Row) -> BTreeMap<String, Value> {
    row.columns()
        .map(|(column, value)| (column.to_owned(), value.clone()))
        .collect()
}

/// What ovsdb-server says that a row has changed by, as its manual describes it.
fn difference(old: &Thing, new: &Thing) -> BTreeMap<String, Value> {
    let mut changed = columns(&new.to_row().difference(&old.to_row()));
    for (column, value) in &mut changed {
        if column == "tags" {
            *value = Value::set(
                old.tags
                    .symmetric_difference(&new.tags)
                    .cloned()
                    .map(Atom::String),
            );
        }
        if column == "ids" {
            let gone = old
                .ids
                .iter()
                .filter(|(key, _)| !new.ids.contains_key(*key));
            let come = new
                .ids
                .iter()
                .filter(|(key, value)| old.ids.get(*key) != Some(*value));
            let pairs: BTreeMap<String, i64> = gone
                .chain(come)
                .map(|(key, value)| (key.clone(), *value))
                .collect();
            *value = pairs.to_value();
        }
    }
    changed
}

/// How a server tells that `old` became `new`: by differences, or as RFC 7047 does by whole rows.
fn told(old: &Things, new: &Things, by_difference: bool) -> TableUpdates {
    let mut rows = Vec::new();
    for (number, thing) in new {
        match old.get(number) {
            Some(before) if before == thing => {}
            Some(before) if by_difference => {
                rows.push((uuid(*number), RowUpdate::Changed(difference(before, thing))));
            }
            Some(_) => rows.push((uuid(*number), RowUpdate::Is(columns(&thing.to_row())))),
            None => {
                let row = thing.to_row().difference(&Thing::default().to_row());
                rows.push((uuid(*number), RowUpdate::Is(columns(&row))));
            }
        }
    }
    let gone = old.keys().filter(|number| !new.contains_key(*number));
    rows.extend(gone.map(|number| (uuid(*number), RowUpdate::Gone)));
    TableUpdates::from([("Thing".to_owned(), rows)])
}

fn held(replica: &Replica) -> BTreeMap<Uuid, Thing> {
    replica.view().rows::<Thing>().map(Result::unwrap).collect()
}

fn expected(things: &Things) -> BTreeMap<Uuid, Thing> {
    things
        .iter()
        .map(|(number, thing)| (uuid(*number), thing.clone()))
        .collect()
}

proptest! {
    #[test]
    fn the_copy_follows_and_so_does_who_listens(states in proptest::collection::vec((things(), 0..4_u8), 1..8)) {
        let replica = replica();
        let mut changes = replica.changes();
        let mut heard: BTreeMap<Uuid, Arc<Row>> = BTreeMap::new();
        let mut old = Things::new();
        for (new, way) in states {
            match way {
                // Everything anew, as after a reconnect to a server that does not know the last transaction.
                0 => {
                    let updates = told(&Things::new(), &new, true);
                    replica.download(Download { is_since: false, last: None, updates }).unwrap();
                }
                1 => {
                    let updates = told(&old, &new, true);
                    replica.download(Download { is_since: true, last: None, updates }).unwrap();
                }
                way => {
                    let updates = told(&old, &new, way == 2);
                    replica.update(Update { id: String::new(), last: None, updates }).unwrap();
                }
            }
            prop_assert_eq!(held(&replica), expected(&new));
            while let Some(event) = changes.next().now_or_never() {
                let Some(Event::Row(Change { uuid, before, after, .. })) = event else { panic!("{event:?}") };
                prop_assert_eq!(heard.get(&uuid), before.as_ref());
                prop_assert_ne!(&before, &after);
                match after {
                    Some(row) => heard.insert(uuid, row),
                    None => heard.remove(&uuid),
                };
            }
            let heard: BTreeMap<Uuid, Thing> = heard.iter().map(|(uuid, row)| (*uuid, Thing::from_row(row).unwrap())).collect();
            prop_assert_eq!(heard, expected(&new));
            old = new;
        }
    }
}

fn update(table: &str, row: RowUpdate) -> Update {
    let updates = TableUpdates::from([(table.to_owned(), vec![(uuid(1), row)])]);
    Update {
        id: String::new(),
        last: Some(uuid(9)),
        updates,
    }
}

#[test]
fn what_cannot_be_is_refused_and_everything_is_asked_for_anew() {
    let column = |name: &str| RowUpdate::Is(BTreeMap::from([(name.to_owned(), Value::empty())]));
    for (senseless, says) in [
        (update("Other", RowUpdate::Gone), "table Other"),
        (
            update("Thing", RowUpdate::Changed(BTreeMap::new())),
            "never there",
        ),
        (update("Thing", column("other")), "column other"),
    ] {
        let replica = replica();
        replica.update(update("Thing", RowUpdate::Gone)).unwrap();
        assert_eq!(replica.last(), Some(uuid(9)));
        let error = replica.update(senseless).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert_eq!(replica.last(), None);
    }
}

#[test]
fn another_schema_needs_everything_anew() {
    let replica = replica();
    let monitors = Monitors::new().table::<Thing>();
    replica.update(update("Thing", RowUpdate::Gone)).unwrap();
    replica.prepare(&schema(), &monitors);
    assert_eq!(replica.last(), Some(uuid(9)));
    let mut older = schema();
    older.tables.get_mut("Thing").unwrap().columns.remove("ids");
    replica.prepare(&older, &monitors);
    assert_eq!(replica.last(), None);
    older.tables.clear();
    replica.prepare(&older, &monitors);
    assert!(!replica.view().has_table::<Thing>());
}

#[tokio::test]
async fn who_is_too_slow_is_told_so() {
    let replica = replica();
    let mut changes = replica.changes();
    for number in 0..=CHANGES_MAX {
        let name = BTreeMap::from([("name".to_owned(), number.to_string().to_value())]);
        replica
            .update(update("Thing", RowUpdate::Is(name)))
            .unwrap();
    }
    assert_eq!(changes.next().await, Some(Event::Missed(1)));
    assert!(matches!(changes.next().await, Some(Event::Row(_))));
}

#[test]
fn a_download_of_each_kind_is_read() {
    let zero = Uuid::default();
    for (method, answer, is_since) in [
        (Method::CondSince, json!([true, zero, {}]), true),
        (Method::CondSince, json!([false, zero, {}]), false),
        (Method::Cond, json!({}), false),
        (Method::Plain, json!({}), false),
    ] {
        let raw = serde_json::value::to_raw_value(&answer).unwrap();
        let read = Download::read(method, &raw).unwrap();
        assert_eq!(
            read,
            Download {
                is_since,
                last: None,
                updates: TableUpdates::new()
            }
        );
    }
}
