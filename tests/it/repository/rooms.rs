//! Rooms meet only where the architecture lets them: see the table in `src/ARCHITECTURE.md`.

use std::collections::BTreeSet;

use super::none;
use super::source::{Source, mentions};

/// Each room, and what else of this crate it may name.
const ROOMS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("cluster", &["api"]),
    ("compute", &["api", "cluster"]),
    ("node", &["api", "cluster", "ovsdb"]),
    ("network", &["api", "cluster", "ovsdb"]),
    ("metadata", &["api", "cluster", "ovsdb"]),
    ("ovn", &["cluster", "ovsdb"]),
    ("ovsdb", &[]),
    (
        "cli",
        &[
            "api", "cluster", "compute", "metadata", "network", "node", "ovn", "ovsdb",
        ],
    ),
];

/// The one room that speaks to libvirt.
const LIBVIRT: &str = "src/node/libvirt/";

/// The files that may be unsafe: what `virt` has no safe call for.
const UNSAFE: [&str; 2] = ["src/node/libvirt/events.rs", "src/node/libvirt/raw.rs"];

#[test]
fn rooms_name_only_their_neighbours() {
    let mut faults = Vec::new();
    for source in Source::all() {
        let Some((room, neighbours)) = ROOMS.iter().find(|(room, _)| source.room() == *room) else {
            continue;
        };
        for named in rooms_named(&source.text) {
            let known = ROOMS.iter().any(|(room, _)| *room == named);
            if known && named != *room && !neighbours.contains(&named.as_str()) {
                faults.push(format!("{} names crate::{named}", source.path));
            }
        }
    }
    none(&faults, "put what both need into src/api or src/cluster");
}

#[test]
fn every_folder_is_a_room() {
    let known: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    let strange: BTreeSet<String> = Source::all()
        .iter()
        .filter(|source| !known.contains(source.room()))
        .map(|source| source.path.clone())
        .collect();
    let roots = BTreeSet::from(["src/lib.rs".to_owned(), "src/main.rs".to_owned()]);
    assert_eq!(strange, roots, "say in ROOMS what a new room may name");
}

#[test]
fn only_one_room_speaks_to_libvirt() {
    let speaks = |line: &str| {
        mentions(line, "virt::") || mentions(line, "virt_sys") || mentions(line, "use virt")
    };
    let mut speakers = 0;
    let mut faults = Vec::new();
    for source in Source::all() {
        if source.path.starts_with(LIBVIRT) {
            speakers += usize::from(source.text.lines().any(speaks));
            continue;
        }
        let lines = source.code();
        let named = lines.iter().filter(|(_, line)| speaks(line));
        faults.extend(named.map(|(number, line)| format!("{}:{number}: {line}", source.path)));
    }
    assert!(speakers > 0, "this test knows how libvirt is named");
    none(&faults, "add a verb to node::driver::Driver instead");
}

#[test]
fn two_files_are_unsafe_and_no_others() {
    let is_unsafe = |source: &&Source| {
        let lines = source.text.lines();
        let mut code = lines.filter(|line| !line.trim_start().starts_with("//"));
        code.any(|line| mentions(line, "unsafe"))
    };
    let all = Source::all();
    let found: Vec<&str> = all
        .iter()
        .filter(is_unsafe)
        .map(|source| source.path.as_str())
        .collect();
    assert_eq!(found, UNSAFE);
}

/// The first word after each `crate::`, also in groups.
fn rooms_named(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join(" ");
    let mut named = BTreeSet::new();
    for (at, word) in code.match_indices("crate::") {
        let rest = &code[at + word.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            named.extend(group_heads(group));
        } else {
            named.insert(head(rest));
        }
    }
    named
}

/// The first word of each member of a group, whose opening brace is gone already.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut heads = vec![head(group)];
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn head(path: &str) -> String {
    let path = path.trim_start();
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    path[..end.unwrap_or(path.len())].to_owned()
}

#[test]
fn rooms_are_found_in_groups() {
    let text = "use crate::{\n    api::{server::Server, value},\n    node::driver,\n};\ncrate::cluster::run()\n// crate::cli";
    let expected = ["api", "cluster", "node"].map(str::to_owned);
    let mut named = rooms_named(text);
    named.remove("");
    assert_eq!(named, BTreeSet::from(expected));
}
