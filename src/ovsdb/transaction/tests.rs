//! Transactions as RFC 7047 writes them, and what is made of their answers.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::ovsdb::table;
use serde_json::json;
use serde_json::value::RawValue;

table! {
    /// A switch.
    pub struct Switch in "Logical_Switch" {
        /// Its name.
        pub name: String,
        /// Its ports.
        pub ports: BTreeSet<Reference>,
        /// Whose it is.
        pub external_ids: BTreeMap<String, String>,
    }
    /// A port.
    pub struct Port in "Logical_Switch_Port" {
        /// Its name.
        pub name: String,
        /// What it is.
        pub kind: String = "type",
    }
}

const UUID: &str = "36bef046-7da7-43a5-905a-c17899216fcb";

fn answer(
    transaction: &Transaction,
    answer: &serde_json::Value,
) -> Result<Result<Results, Failure>, SenselessResult> {
    let raw: Box<RawValue> = serde_json::value::to_raw_value(answer).unwrap();
    Results::read(transaction, &raw)
}

#[test]
fn operations_are_written_as_the_standard_has_them() {
    let uuid: Uuid = UUID.parse().unwrap();
    let mut transaction = Transaction::new();
    let port = transaction.insert(&Port {
        name: "p".to_owned(),
        ..Port::default()
    });
    let switch = Switch {
        name: "s".to_owned(),
        ports: BTreeSet::from([port.reference()]),
        ..Switch::default()
    };
    transaction.insert(&switch);
    transaction.mutate::<Switch>(&[Condition::row(uuid)], [Mutation::delete("ports", uuid)]);
    transaction.update::<Port>(
        &[Condition::equal("name", "q")],
        Row::new().with("type", String::new()),
    );
    transaction.delete::<Port>(&[Condition::new(
        "external_ids",
        Function::Includes,
        BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    )]);
    transaction.guard::<Port>(uuid, Row::new().with("type", "router"));
    transaction.guard_absent::<Port>(&[]);
    let _: Selected<Port> = transaction.select(&[]);
    transaction.comment("why");
    let row = json!([["_uuid", "==", ["uuid", UUID]]]);
    assert_eq!(
        serde_json::to_value(Params("OVN_Northbound", &transaction)).unwrap(),
        json!([
            "OVN_Northbound",
            {"op": "insert", "table": "Logical_Switch_Port", "row": {"name": "p"}, "uuid-name": "row0"},
            {"op": "insert", "table": "Logical_Switch", "row": {"name": "s", "ports": ["named-uuid", "row0"]}, "uuid-name": "row1"},
            {"op": "mutate", "table": "Logical_Switch", "where": row, "mutations": [["ports", "delete", ["uuid", UUID]]]},
            {"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", "q"]], "row": {"type": ""}},
            {"op": "delete", "table": "Logical_Switch_Port", "where": [["external_ids", "includes", ["map", [["a", "b"]]]]]},
            {"op": "wait", "table": "Logical_Switch_Port", "where": row, "columns": ["type"], "until": "==", "rows": [{"type": "router"}], "timeout": 0},
            {"op": "wait", "table": "Logical_Switch_Port", "where": [], "columns": ["_uuid"], "until": "==", "rows": [], "timeout": 0},
            {"op": "select", "table": "Logical_Switch_Port", "where": [], "columns": ["_uuid", "name", "type"]},
            {"op": "comment", "comment": "why"},
        ])
    );
}

#[test]
fn results_are_found_by_what_was_asked() {
    let mut transaction = Transaction::new();
    let inserted = transaction.insert(&Port::default());
    let counted = transaction.delete::<Port>(&[]);
    let selected: Selected<Port> = transaction.select(&[]);
    let results = answer(
        &transaction,
        &json!([{"uuid": ["uuid", UUID]}, {"count": 3}, {"rows": [{"_uuid": ["uuid", UUID], "name": "p", "type": ""}]}]),
    );
    let results = results.unwrap().unwrap();
    let uuid = UUID.parse().unwrap();
    assert_eq!(results.uuid(&inserted), Some(uuid));
    assert_eq!(results.count(&counted), Some(3));
    let port = Port {
        name: "p".to_owned(),
        kind: String::new(),
    };
    assert_eq!(results.rows(&selected).unwrap(), [(uuid, port)]);
}

#[test]
fn a_failure_names_operation_and_table() {
    let mut transaction = Transaction::new();
    transaction.comment("why");
    transaction.insert(&Port::default());
    let failure = |json| answer(&transaction, &json).unwrap().unwrap_err();
    let violation = json!({"error": "constraint violation", "details": "because"});
    assert_eq!(
        failure(json!([{}, violation])).to_string(),
        "insert in table Logical_Switch_Port (operation 1): constraint violation: because"
    );
    assert_eq!(
        failure(json!([{}, {"uuid": ["uuid", UUID]}, violation])).to_string(),
        "commit: constraint violation: because"
    );
    let timed_out = failure(json!([{"error": "timed out"}, null]));
    assert_eq!(timed_out.fault, Fault::TimedOut);
    assert_eq!(timed_out.to_string(), "comment (operation 0): timed out");
    assert_eq!(
        failure(json!([{"error": "new"}])).fault,
        Fault::Other("new".to_owned())
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_no_success() {
    let mut transaction = Transaction::new();
    transaction.comment("why");
    for senseless in [
        json!([]),
        json!([null]),
        json!([{}, {}]),
        json!({}),
        json!([{"count": "many"}]),
    ] {
        assert!(answer(&transaction, &senseless).is_err(), "{senseless}");
    }
}
