//! Whatever there is, what is wanted comes of it; on a model here, and on a real server in `tests/it/network`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::model::Model;
use super::{Difference, Limits, Operation, diff};
use crate::network::plan::northbound::shared::cloud::{random, shop};
use crate::network::plan::northbound::tables::{KINDS, Kind};
use crate::network::plan::northbound::{Compiler, Desired, KEY, compile};
use crate::network::plan::topology::Topology;
use crate::ovsdb::Row;
use crate::ovsdb::value::{Atom, Value};

static NOBODY: BTreeSet<String> = BTreeSet::new();

fn all(rows: usize) -> Limits<'static> {
    Limits {
        rows,
        objects: usize::MAX,
        without: &NOBODY,
    }
}

fn choices(bytes: Vec<u8>) -> impl FnMut(usize) -> usize {
    let mut bytes = bytes.into_iter().cycle();
    move |below| usize::from(bytes.next().unwrap_or_default()) % below
}

fn topology() -> impl Strategy<Value = Topology> {
    proptest::collection::vec(any::<u8>(), 1..200).prop_map(|bytes| random(&mut choices(bytes)))
}

/// Writes until nothing is left to do; looks at the database after each transaction.
fn settle(
    model: &mut Model,
    desired: &Desired,
    limits: &Limits<'_>,
    look: impl Fn(&Model, &Model),
) -> usize {
    for transactions in 0.. {
        let Difference {
            change, differing, ..
        } = diff(desired, &model.found(), limits);
        if change.is_empty() {
            assert!(differing.is_empty(), "{differing:?} differ for ever");
            return transactions;
        }
        assert!(transactions < 10_000, "no end: {change:?}");
        let before = model.clone();
        assert!(model.apply(&change), "nobody else writes");
        look(&before, model);
    }
    unreachable!("there are numbers enough");
}

/// What the rows are that are wanted, as far as what they refer to is wanted.
fn wanted(desired: &Desired) -> BTreeMap<(Kind, String), Row> {
    let mut rows = BTreeMap::new();
    for kind in KINDS {
        for (key, wanted) in desired.table(kind) {
            let mut row = wanted.row.clone();
            for link in kind.links() {
                if let Some(value) = row.take(link.column) {
                    let is_there = |atom: &&Atom| match atom {
                        Atom::Named(key) => desired.get(link.target, key).is_some(),
                        _ => false,
                    };
                    let value = Value::set(value.atoms().filter(is_there).cloned());
                    if value != Value::empty() {
                        row.set(link.column.into(), value);
                    }
                }
            }
            rows.insert((kind, key.to_owned()), row);
        }
    }
    rows
}

/// The ports of a row, by their keys.
fn ports(row: &Row) -> BTreeSet<String> {
    let atoms = row.get("ports").into_iter().flat_map(Value::atoms);
    atoms
        .map(|atom| match atom {
            Atom::Named(key) => key.to_string(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// No secure port comes without its place in the group that lets nothing pass, whose rules are all there.
fn nobody_is_open(before: &Model, model: &Model, desired: &Desired) {
    let (before, rows) = (before.by_key(), model.by_key());
    let new = rows.iter().filter(|(key, row)| {
        let is_secure = key.0 == Kind::SwitchPort && row.get("port_security").is_some();
        is_secure && !before.contains_key(key) && desired.get(key.0, &key.1).is_some()
    });
    for ((_, port), _) in new {
        let mut all = rows.iter();
        let switch =
            all.find(|((kind, _), row)| *kind == Kind::Switch && ports(row).contains(port));
        let guard = switch.unwrap().0.1.replacen("switch", "guard", 1);
        let group = rows.get(&(Kind::PortGroup, guard.clone()));
        assert!(
            group.is_some_and(|group| ports(group).contains(port)),
            "{port} is open"
        );
        let rules = rows
            .keys()
            .filter(|(kind, key)| *kind == Kind::Acl && key.starts_with(&format!("{guard}/")));
        assert_eq!(rules.count(), 7);
    }
}

proptest! {
    #[test]
    fn what_is_wanted_comes_of_what_there_is(
        before in topology(),
        after in topology(),
        rows in 1_usize..60,
    ) {
        let mut model = Model::default();
        for topology in [&before, &after] {
            let desired = compile(topology);
            settle(&mut model, &desired, &all(rows), |before, model| nobody_is_open(before, model, &desired));
            prop_assert_eq!(model.by_key(), wanted(&desired));
        }
        // And nothing is left of it.
        settle(&mut model, &Desired::default(), &all(rows), |_, _| ());
        prop_assert_eq!(model.kinds(), []);
    }

    #[test]
    fn what_is_remembered_of_other_topologies_changes_nothing(
        topologies in proptest::collection::vec(topology(), 1..5),
        changes in proptest::collection::vec(any::<u8>(), 1..20),
    ) {
        let mut compiler = Compiler::default();
        let mut choose = choices(changes);
        for topology in topologies {
            let mut topology = Arc::new(topology);
            for _ in 0..3 {
                prop_assert_eq!(compiler.compile(&topology), compile(&topology));
                touch(Arc::make_mut(&mut topology), &mut choose);
            }
        }
    }

    #[test]
    fn equal_topologies_have_equal_rows_and_every_reference_leads_somewhere(topology in topology()) {
        let desired = compile(&topology);
        prop_assert_eq!(&desired, &compile(&topology.clone()));
        for kind in KINDS {
            for (key, wanted) in desired.table(kind) {
                for link in kind.links() {
                    for atom in wanted.row.get(link.column).into_iter().flat_map(Value::atoms) {
                        let Atom::Named(target) = atom else { panic!("{atom:?}") };
                        let held = desired.get(link.target, target);
                        prop_assert!(held.is_some(), "{key}.{} leads to {target}", link.column);
                        if link.holds {
                            let parent = held.unwrap().parent.clone();
                            prop_assert_eq!(parent, Some((kind, key.into())));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn whatever_is_done_by_hand_is_put_right(
        topology in topology(),
        hands in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..6), 1..8),
        rows in 5_usize..60,
    ) {
        let desired = compile(&topology);
        let mut model = Model::default();
        settle(&mut model, &desired, &all(1000), |_, _| ());
        let right = model.by_key();
        for (at, hand) in hands {
            if model.rows.is_empty() {
                break;
            }
            let (kind, uuid) = *at.get(&model.rows.keys().copied().collect::<Vec<_>>());
            spoil(&mut model, kind, uuid, hand);
        }
        settle(&mut model, &desired, &all(rows), |_, _| ());
        let mut left = model.by_key();
        // What has lost its marks and has no name of ours is somebody else's now.
        left.retain(|(_, key), _| !key.starts_with("foreign"));
        for row in left.values_mut().chain(model.rows.values_mut()) {
            if let Some(Value::Map(mut marks)) = row.take("external_ids") {
                marks.remove(&Atom::String("theirs".to_owned()));
                row.set("external_ids".into(), Value::Map(marks));
            }
        }
        for (key, row) in &left {
            prop_assert_eq!(Some(&without_foreign(row)), right.get(key), "{:?}", key);
        }
        prop_assert_eq!(left.len(), right.len());
    }
}

/// Changes something of one network, or of what hangs on it, and leaves the others as they are.
fn touch(topology: &mut Topology, choose: &mut impl FnMut(usize) -> usize) {
    let uids: Vec<String> = topology.switches.keys().cloned().collect();
    let Some(uid) = uids.get(choose(uids.len().max(1))) else {
        return;
    };
    match choose(5) {
        0 => drop(topology.switches.remove(uid)),
        1 => drop(topology.routers.pop_first()),
        2 => drop(topology.balancers.pop_first()),
        3 => drop(topology.groups.pop_first()),
        _ => {
            let switch = topology.switches.get_mut(uid).unwrap();
            switch.mtu += 1;
            switch.ports.pop_first();
        }
    }
}

/// The row without what it has of somebody else's: a port that has lost both its marks and its name stays where it is.
fn without_foreign(row: &Row) -> Row {
    let own = |atom: &&Atom| **atom != Atom::Named("".into());
    row.columns()
        .fold(Row::new(), |rest, (column, value)| match value {
            Value::Set(atoms) => rest.with(column, Value::set(atoms.iter().filter(own).cloned())),
            other => rest.with(column, other.clone()),
        })
}

/// What a hand does to a row.
fn spoil(model: &mut Model, kind: Kind, uuid: crate::ovsdb::Uuid, hand: u8) {
    let row = model.rows.get_mut(&(kind, uuid)).unwrap();
    match hand {
        // It goes.
        0 => {
            model.rows.remove(&(kind, uuid));
        }
        // It loses its marks.
        1 => {
            row.take("external_ids");
        }
        // It is another's, too.
        2 => {
            let Some(Value::Map(mut marks)) = row.take("external_ids") else {
                return;
            };
            let words = |text: &str| Atom::String(text.to_owned());
            marks.insert(words("theirs"), words("yes"));
            row.set("external_ids".into(), Value::Map(marks));
        }
        // It is there twice, where the database lets it.
        3 => {
            let copy = row.clone();
            let names = [
                Kind::SwitchPort,
                Kind::RouterPort,
                Kind::PortGroup,
                Kind::AddressSet,
                Kind::GatewayChassis,
            ];
            if names.contains(&kind) || row.get("external_ids").is_none() {
                return;
            }
            let twin = model.insert(kind, copy);
            let holders: Vec<(Kind, crate::ovsdb::Uuid)> = model.rows.keys().copied().collect();
            for holder in holders {
                for link in holder.0.links().iter().filter(|link| link.target == kind) {
                    let row = model.rows.get_mut(&holder).unwrap();
                    let has = row
                        .get(link.column)
                        .is_some_and(|value| value.atoms().any(|atom| *atom == Atom::Uuid(uuid)));
                    if has && link.column != "dhcpv4_options" && link.column != "dhcpv6_options" {
                        let value = row.take(link.column).unwrap();
                        let more = value.atoms().cloned().chain([Atom::Uuid(twin)]);
                        row.set(link.column.into(), Value::set(more));
                    }
                }
            }
        }
        // A column is written over.
        4 => {
            let columns: Vec<String> = row.columns().map(|(column, _)| column.to_owned()).collect();
            for column in columns.iter().filter(|column| *column != "external_ids") {
                row.take(column);
            }
        }
        // Its key is another.
        _ => {
            let Some(Value::Map(mut marks)) = row.take("external_ids") else {
                return;
            };
            let words = |text: &str| Atom::String(text.to_owned());
            marks.insert(words(KEY), words("nobody/knows"));
            row.set("external_ids".into(), Value::Map(marks));
        }
    }
    model.collect_garbage();
}

#[test]
fn rows_of_others_stay_and_so_do_their_places() {
    let desired = compile(&shop());
    let mut model = Model::default();
    settle(&mut model, &desired, &all(1000), |_, _| ());
    let theirs = Row::new().with("name", "their-port");
    let port = model.insert(Kind::SwitchPort, theirs);
    let balancer = model.insert(Kind::Balancer, Row::new().with("name", "theirs"));
    let rule = model.insert(Kind::Acl, Row::new().with("action", "allow"));
    for ((kind, _), row) in &mut model.rows {
        let is = |name: &str| row.get("name") == Some(&Value::from(name));
        let more: &[(&str, crate::ovsdb::Uuid)] = match kind {
            Kind::Switch if is("web") => &[("ports", port), ("load_balancer", balancer)],
            Kind::PortGroup if is("pg_http") => &[("acls", rule)],
            _ => &[],
        };
        for (column, uuid) in more {
            let value = row.take(column).unwrap();
            let atoms = value.atoms().cloned().chain([Atom::Uuid(*uuid)]);
            row.set((*column).into(), Value::set(atoms));
        }
    }
    settle(&mut model, &desired, &all(1000), |_, _| ());
    assert!(model.rows.contains_key(&(Kind::SwitchPort, port)));
    assert!(model.rows.contains_key(&(Kind::Balancer, balancer)));
    // A rule has no name: it is what our group says, and nobody else says what that is.
    assert!(!model.rows.contains_key(&(Kind::Acl, rule)));
    settle(&mut model, &Desired::default(), &all(1000), |_, _| ());
    assert_eq!(model.kinds(), [Kind::Balancer]);
}

#[test]
fn what_vanished_goes_from_rows_of_others_too() {
    let mut model = Model::default();
    settle(&mut model, &compile(&shop()), &all(1000), |_, _| ());
    let ports: Vec<Atom> = model
        .rows
        .keys()
        .filter(|(kind, _)| *kind == Kind::SwitchPort)
        .map(|(_, uuid)| Atom::Uuid(*uuid))
        .collect();
    let theirs = Row::new()
        .with("name", "theirs")
        .with("ports", Value::empty());
    let mut theirs = theirs;
    theirs.set("ports".into(), Value::set(ports));
    model.insert(Kind::Switch, theirs);
    settle(&mut model, &Desired::default(), &all(1000), |_, _| ());
    assert_eq!(model.kinds(), [Kind::Switch]);
}

#[test]
fn an_object_that_is_left_alone_keeps_nobody_waiting() {
    let desired = compile(&shop());
    let without = BTreeSet::from(["web-1".to_owned(), "http".to_owned()]);
    let limits = Limits {
        without: &without,
        ..all(1000)
    };
    let mut model = Model::default();
    loop {
        let Difference {
            change, differing, ..
        } = diff(&desired, &model.found(), &limits);
        if change.is_empty() {
            let differing: Vec<&str> = differing.iter().map(|uid| &**uid).collect();
            // And nobody who would take them in.
            assert_eq!(differing, ["http", "web-1"]);
            break;
        }
        assert!(model.apply(&change));
    }
    let rows = model.by_key();
    assert!(rows.contains_key(&(Kind::SwitchPort, "port/web-2".to_owned())));
    assert!(!rows.contains_key(&(Kind::SwitchPort, "port/web-1".to_owned())));
}

#[test]
fn without_the_group_that_guards_them_no_secure_ports_come() {
    let desired = compile(&shop());
    let mut model = Model::default();
    settle(&mut model, &desired, &all(1000), |_, _| ());
    // A hand takes the group and all ports, and nothing of the network can be written.
    let named = |kind: Kind, row: &Row| match kind {
        Kind::PortGroup => row.get("name") == Some(&Value::from("guard_web")),
        kind => kind == Kind::SwitchPort,
    };
    model.rows.retain(|(kind, _), row| !named(*kind, row));
    model.collect_garbage();
    let without = BTreeSet::from(["web".to_owned()]);
    let limits = Limits {
        without: &without,
        ..all(1000)
    };
    loop {
        let difference = diff(&desired, &model.found(), &limits);
        if difference.change.is_empty() {
            break;
        }
        assert!(model.apply(&difference.change));
    }
    let rows = model.by_key();
    let there = |port: &str| rows.contains_key(&(Kind::SwitchPort, format!("port/{port}")));
    assert!(!there("web-1") && !there("web-2"));
    assert!(there("db-1"));
}

#[test]
fn a_group_goes_after_all_that_comes() {
    let desired = compile(&shop());
    let mut model = Model::default();
    let text = |text: &str| Atom::String(text.to_owned());
    let marks = [(text(KEY), text("group/old"))].into();
    let old = Row::new().with("name", "pg_old");
    let old = old.with("external_ids", Value::Map(marks));
    let old = model.insert(Kind::PortGroup, old);
    settle(&mut model, &desired, &all(4), |_, model| {
        if !model.rows.contains_key(&(Kind::PortGroup, old)) {
            assert_eq!(model.by_key().len(), desired.len());
        }
    });
    assert!(!model.rows.contains_key(&(Kind::PortGroup, old)));
}

#[test]
fn one_object_at_a_time_comes_to_the_same() {
    let desired = compile(&shop());
    let limits = Limits {
        objects: 1,
        ..all(1000)
    };
    let mut model = Model::default();
    loop {
        let difference = diff(&desired, &model.found(), &limits);
        if difference.change.is_empty() {
            break;
        }
        assert_eq!(difference.objects.len(), 1);
        assert!(model.apply(&difference.change));
    }
    assert_eq!(model.by_key(), wanted(&desired));
}

#[test]
fn many_objects_share_a_transaction() {
    let desired = compile(&shop());
    let mut model = Model::default();
    assert_eq!(settle(&mut model, &desired, &all(1000), |_, _| ()), 1);
    // A rule that is taken away, and nothing else.
    let mut topology = shop();
    topology.groups.get_mut("http").unwrap().rules.remove(0);
    let difference = diff(&compile(&topology), &model.found(), &all(1000));
    let operations: Vec<&Operation> = difference.change.operations().collect();
    assert!(
        matches!(
            operations[..],
            [Operation::Mutate {
                kind: Kind::PortGroup,
                ..
            }]
        ),
        "{operations:?}"
    );
}
