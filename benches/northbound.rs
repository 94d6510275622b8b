//! How long it takes to know what has to be written for a cloud of 6,000 ports: `cargo bench --bench northbound`.
//!
//! First everything is compiled and compared anew each time: a topology that nobody has seen before, with a database that
//! holds nothing, and with one that holds all of it but for one port. Then one port comes, or goes, each time, as it is in
//! a cloud that runs: what is remembered of the networks as they were before is used.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    reason = "a benchmark prints, has only fixed input, and shares a file with tests that use all of it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kilonova::network::plan::northbound::tables::KINDS;
use kilonova::network::plan::northbound::{Compiler, Desired, Found, Limits, compile, diff};
use kilonova::ovsdb::value::{Atom, Value};
use kilonova::ovsdb::{Row, Uuid};
use kilonova::{api, network};

#[path = "../tests/it/network/cloud.rs"]
mod cloud;

const NETWORKS: usize = 100;
const PORTS: usize = 60;
const GROUPS: usize = 50;
const RUNS: u32 = 20;

fn main() {
    let topology = cloud::large(NETWORKS, PORTS, GROUPS);
    let desired = compile(&topology);
    println!("{} ports, {} rows", NETWORKS * PORTS, desired.len());
    show("compile", || drop(compile(&topology)));
    let nobody = BTreeSet::new();
    let limits = Limits {
        rows: 1000,
        objects: usize::MAX,
        without: &nobody,
    };
    let empty = Found::default();
    show("compare with nothing, and begin to write", || {
        assert!(!diff(&desired, &empty, &limits).change.is_empty());
    });
    let all = held(&desired);
    show("compare with all of it", || {
        assert!(diff(&desired, &all, &limits).differing.is_empty());
    });
    let mut more = topology.clone();
    let switch = more.switches.values_mut().next().unwrap();
    let mut port = switch.ports.values().next().unwrap().clone();
    "one more".clone_into(&mut port.origin.uid);
    switch.ports.insert(port.origin.uid.clone(), port);
    show("compile and compare, with one port more", || {
        let difference = diff(&compile(&more), &all, &limits);
        assert!(difference.change.rows() < 10);
    });
    let both = [Arc::new(topology), Arc::new(more)];
    let mut compiler = Compiler::default();
    let mut turn = both.iter().cycle();
    show("compile again, with one port more or less", || {
        let next = turn.next().unwrap();
        assert!(compiler.compile(next).len() >= desired.len());
    });
}

/// What a database has when everything was written.
fn held(desired: &Desired) -> Found {
    let mut uuids = BTreeMap::new();
    for kind in KINDS {
        for (key, _) in desired.table(kind) {
            let next = Uuid::from(uuids.len() as u128 + 1);
            uuids.insert(key.to_owned(), next);
        }
    }
    let mut found = Found::default();
    for kind in KINDS {
        let rows = desired.table(kind).map(|(key, wanted)| {
            let columns = wanted.row.columns();
            let row = columns.fold(Row::new(), |row, (column, value)| {
                let is_link = kind.links().iter().any(|link| link.column == column);
                let value = if is_link {
                    Value::set(value.atoms().map(|atom| match atom {
                        Atom::Named(key) => Atom::Uuid(uuids[&**key]),
                        atom => atom.clone(),
                    }))
                } else {
                    value.clone()
                };
                row.with(column, value)
            });
            (uuids[key], Arc::new(row))
        });
        found.add(kind, rows.collect::<Vec<_>>());
    }
    found
}

fn show(what: &str, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let [median, worst] = [times[times.len() / 2], times[times.len() - 1]];
    println!("{what}: {median:.1?} (median), {worst:.1?} (worst of {RUNS})");
}
