//! The tables that are declared are those of OVN's own schema.

use anyhow::{Context, Result};
use kilonova::ovsdb::Table;
use kilonova::ovsdb::northbound::{
    Acl, AddressSet, Bfd, DhcpOptions, Dns, GatewayChassis, LoadBalancer, LoadBalancerHealthCheck,
    LogicalRouter, LogicalRouterPolicy, LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitch,
    LogicalSwitchPort, Nat, NbGlobal, PortGroup, Qos,
};
use kilonova::ovsdb::value::{Atom, Value};
use serde_json::Value as Json;

use super::server::SCHEMA;

/// Whether a column that holds what it begins with can be of the schema's type.
fn fits(kind: &Json, value: &Value) -> bool {
    let one = kind
        .as_str()
        .or(kind["key"].as_str())
        .or(kind["key"]["type"].as_str());
    let is_map = !kind["value"].is_null();
    let is_one = kind.is_string()
        || kind["min"].as_u64().unwrap_or(1) == 1 && kind["max"].as_u64().unwrap_or(1) == 1;
    match value {
        Value::Map(_) => is_map,
        Value::Set(_) => !is_map && !is_one || kind["min"] == 1 && kind["max"] == "unlimited",
        Value::One(atom) => {
            is_one
                && matches!(
                    (atom, one),
                    (Atom::Integer(_), Some("integer"))
                        | (Atom::Boolean(_), Some("boolean"))
                        | (Atom::String(_), Some("string"))
                )
        }
    }
}

fn faults<T: Table>(schema: &Json) -> Vec<String> {
    let columns = &schema["tables"][T::NAME]["columns"];
    let row = T::default().to_row();
    let is_wrong = |column: &&&str| match row.get(column) {
        Some(value) => !fits(&columns[**column]["type"], value),
        None => true,
    };
    let wrong = T::COLUMNS.iter().filter(is_wrong);
    wrong
        .map(|column| format!("{}.{column}: {}", T::NAME, columns[*column]["type"]))
        .collect()
}

#[test]
fn tables_are_declared_as_ovn_has_them() -> Result<()> {
    let text = std::fs::read_to_string(SCHEMA).context("`devstack prepare` installs it")?;
    let schema: Json = serde_json::from_str(&text)?;
    let faults = [
        faults::<NbGlobal>(&schema),
        faults::<LogicalSwitch>(&schema),
        faults::<LogicalSwitchPort>(&schema),
        faults::<DhcpOptions>(&schema),
        faults::<Dns>(&schema),
        faults::<Qos>(&schema),
        faults::<LogicalRouter>(&schema),
        faults::<LogicalRouterPort>(&schema),
        faults::<LogicalRouterStaticRoute>(&schema),
        faults::<LogicalRouterPolicy>(&schema),
        faults::<Nat>(&schema),
        faults::<GatewayChassis>(&schema),
        faults::<Bfd>(&schema),
        faults::<PortGroup>(&schema),
        faults::<Acl>(&schema),
        faults::<AddressSet>(&schema),
        faults::<LoadBalancer>(&schema),
        faults::<LoadBalancerHealthCheck>(&schema),
    ]
    .concat();
    assert_eq!(faults, Vec::<String>::new());
    Ok(())
}
