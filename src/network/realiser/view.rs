//! What is seen of the database.

use std::collections::HashMap;
use std::sync::Arc;

use crate::network::plan::northbound::{Found, KEY, Kind, UID, tables::KINDS};
use crate::ovsdb::northbound::{
    Acl, AddressSet, DhcpOptions, Dns, GatewayChassis, LoadBalancer, LoadBalancerHealthCheck,
    LogicalRouter, LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitch, LogicalSwitchPort,
    Nat, PortGroup, Qos,
};
use crate::ovsdb::value::{Atom, Value};
use crate::ovsdb::{Change, Monitors, Row, Session};

/// The tables that rows of ours are in.
pub fn monitors() -> Monitors {
    Monitors::new()
        .table::<DhcpOptions>()
        .table::<Dns>()
        .table::<AddressSet>()
        .table::<LoadBalancerHealthCheck>()
        .table::<LoadBalancer>()
        .table::<Acl>()
        .table::<Qos>()
        .table::<LogicalSwitchPort>()
        .table::<PortGroup>()
        .table::<GatewayChassis>()
        .table::<LogicalRouterStaticRoute>()
        .table::<Nat>()
        .table::<LogicalRouterPort>()
        .table::<LogicalRouter>()
        .table::<LogicalSwitch>()
}

/// All that there is now.
pub fn found(session: &Session) -> Found {
    let mut found = Found::new(session.schema());
    let view = session.replica().view();
    for kind in KINDS {
        let rows = view.raw_rows(kind.name());
        found.add(kind, rows.map(|(uuid, row)| (uuid, Arc::clone(row))));
    }
    found
}

/// Which ports have their flows, by the UIDs of their objects.
pub fn up(found: &Found) -> HashMap<&str, bool> {
    let ports = found.rows(Kind::SwitchPort).iter();
    ports
        .filter_map(|(_, row)| Some((guest(row)?, is_up(row))))
        .collect()
}

/// What a change of a row means.
pub enum Meaning {
    /// Nothing to us.
    None,
    /// A port has its flows, or has them no more.
    Up(String, bool),
    /// A row of ours is not as it was.
    Ours,
}

/// What a change of a row means.
pub fn meaning(change: &Change) -> Meaning {
    let (before, after) = (change.before.as_deref(), change.after.as_deref());
    if let (Some(before), Some(after)) = (before, after)
        && let Some(uid) = guest(after).filter(|_| *change.table == *Kind::SwitchPort.name())
        && without_up(before).eq(without_up(after))
    {
        return Meaning::Up(uid.to_owned(), is_up(after));
    }
    let is_ours = |row: Option<&Row>| row.is_some_and(|row| mark(row, KEY).is_some());
    if is_ours(before) || is_ours(after) {
        Meaning::Ours
    } else {
        Meaning::None
    }
}

/// The UID of the object of a guest's port: it is also the port's name.
fn guest(row: &Row) -> Option<&str> {
    let uid = mark(row, UID)?;
    match row.get("name") {
        Some(Value::One(Atom::String(name))) if name == uid => Some(uid),
        _ => None,
    }
}

fn is_up(row: &Row) -> bool {
    row.get("up") == Some(&Value::One(Atom::Boolean(true)))
}

fn without_up(row: &Row) -> impl Iterator<Item = (&str, &Value)> {
    row.columns().filter(|(column, _)| *column != "up")
}

fn mark<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    let Some(Value::Map(pairs)) = row.get("external_ids") else {
        return None;
    };
    match pairs.get(&Atom::String(name.to_owned())) {
        Some(Atom::String(text)) => Some(text),
        _ => None,
    }
}
