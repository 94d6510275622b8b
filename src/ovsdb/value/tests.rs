//! One form for each value, in memory and as JSON; differences lead from any old value to any new one.

use super::*;
use crate::ovsdb::uuid::Uuid;
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde_json::json;

fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![
        any::<i64>().prop_map(Atom::Integer),
        any::<i32>().prop_map(|number| Atom::Real(Real(f64::from(number) + 0.5))),
        any::<bool>().prop_map(Atom::Boolean),
        any::<String>().prop_map(Atom::String),
        any::<u128>().prop_map(|number| Atom::Uuid(Uuid::from(number))),
        "[a-z]{1,8}".prop_map(|name| Atom::Named(name.into())),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        btree_set(atom(), 0..5).prop_map(Value::set),
        btree_map(atom(), atom(), 0..5).prop_map(Value::Map),
    ]
}

/// Few keys and values, so that old and new ones meet.
fn small_set() -> impl Strategy<Value = BTreeSet<Atom>> {
    btree_set((0..6_i64).prop_map(Atom::Integer), 0..6)
}

fn small_map() -> impl Strategy<Value = BTreeMap<Atom, Atom>> {
    let small = || (0..4_i64).prop_map(Atom::Integer);
    btree_map(small(), small(), 0..5)
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in value()) {
        let text = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn typed_columns_come_back(set: BTreeSet<String>, map: BTreeMap<String, i64>, option: Option<bool>) {
        prop_assert_eq!(Column::from_value(&set.to_value()), Some(set));
        prop_assert_eq!(Column::from_value(&map.to_value()), Some(map));
        prop_assert_eq!(Column::from_value(&option.to_value()), Some(option));
    }

    #[test]
    fn a_difference_of_sets_leads_from_old_to_new(old in small_set(), new in small_set()) {
        let difference = Value::set(old.symmetric_difference(&new).cloned());
        prop_assert_eq!(Value::set(old).changed_by(difference), Value::set(new));
    }

    #[test]
    fn a_difference_of_maps_leads_from_old_to_new(old in small_map(), new in small_map()) {
        let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
        let come = new.iter().filter(|(key, value)| old.get(key) != Some(value));
        let pairs = gone.chain(come).map(|(key, value)| (key.clone(), value.clone()));
        let difference = Value::Map(pairs.collect());
        prop_assert_eq!(Value::Map(old).changed_by(difference), Value::Map(new));
    }

    /// Whatever a peer says a difference is: it is applied, or it is not; nothing falls over.
    #[test]
    fn no_difference_is_too_strange(old in value(), difference in value()) {
        let new = old.changed_by(difference);
        let canonical = match &new {
            Value::Set(atoms) => atoms.len() != 1,
            Value::One(_) | Value::Map(_) => true,
        };
        prop_assert!(canonical);
    }
}

#[test]
fn one_is_the_set_of_it() {
    let read = |json: serde_json::Value| serde_json::from_value::<Value>(json).unwrap();
    assert_eq!(read(json!(["set", [7]])), read(json!(7)));
    assert_eq!(read(json!(["set", []])), Value::empty());
    assert_eq!(
        Option::<String>::from_value(&read(json!(["set", []]))),
        Some(None)
    );
    assert_eq!(i64::from_value(&read(json!(["set", [1, 2]]))), None);
    assert_eq!(Real::from_value(&read(json!(3))), Some(Real(3.0)));
    assert_eq!(
        BTreeMap::<String, String>::from_value(&Value::empty()),
        Some(BTreeMap::new())
    );
}

#[test]
fn what_is_no_value_is_refused() {
    for wrong in [
        json!(null),
        json!({}),
        json!([]),
        json!(["set"]),
        json!(["set", 1]),
        json!(["set", [["set", []]]]),
        json!(["map", [[1]]]),
        json!(["map", [[1, 2, 3]]]),
        json!(["uuid", "short"]),
        json!(["uuid", "36bef046-7da7-43a5-905a-c17899216fcb", 1]),
        json!(["other", 1]),
        json!(u64::MAX),
    ] {
        assert!(
            serde_json::from_value::<Value>(wrong.clone()).is_err(),
            "{wrong}"
        );
    }
}
