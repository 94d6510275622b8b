//! `charts/kilonova/metrics.md` is what operators and agents register, and what they register is named as Prometheus'
//! conventions ask.

use std::{collections::BTreeMap, fs, process::Command};

use super::{none, root};

const PAGE: &str = "charts/kilonova/metrics.md";

/// A family that the binary registers.
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    unit: String,
    /// Its labels, without `le`.
    pub labels: Vec<String>,
    help: String,
}

/// Every family that the binary registers, by name.
pub fn families() -> BTreeMap<String, Family> {
    let page = page();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, _, help] = cells[..] else {
            panic!("a row has six cells: {row}")
        };
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let family = Family {
            kind: kind.to_owned(),
            unit: unit.to_owned(),
            labels: labels
                .map(|label| label.trim_matches('`').to_owned())
                .collect(),
            help: help.to_owned(),
        };
        (name.trim_matches('`').to_owned(), family)
    })
    .collect()
}

fn page() -> String {
    let printed = Command::new(env!("CARGO_BIN_EXE_kilonova"))
        .arg("metrics")
        .output();
    let printed = printed.expect("kilonova can be run");
    assert!(printed.status.success());
    String::from_utf8(printed.stdout).expect("the page is text")
}

#[test]
fn the_page_is_fresh() {
    let found = fs::read_to_string(root().join(PAGE)).expect("the page is there");
    let hint = format!("`cargo run -- metrics > {PAGE}` writes it anew");
    assert!(found == page(), "{PAGE} is stale: {hint}");
}

#[test]
fn names_follow_the_conventions() {
    let families = families();
    assert!(families.len() > 20, "the table is read");
    let mut faults = Vec::new();
    for (name, family) in &families {
        let is_counter = family.kind == "counter";
        let stem = name.strip_suffix("_total").unwrap_or(name);
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| stem.ends_with(unit));
        let other_units = [
            "_ms",
            "_milliseconds",
            "_mib",
            "_gib",
            "_percent",
            "_kilobytes",
        ];
        let wrong = [
            (
                !name.starts_with("kilonova_"),
                "does not begin with kilonova_",
            ),
            (
                name.ends_with("_total") != is_counter,
                "counters, and nothing else, end with _total",
            ),
            (
                unit.unwrap_or_default() != family.unit,
                "has a unit that its name does not end with",
            ),
            (
                other_units.iter().any(|unit| stem.ends_with(unit)),
                "is not in a base unit",
            ),
            (
                family.kind == "histogram" && unit.is_none(),
                "is a histogram of no unit",
            ),
            (family.help.len() < 8, "does not say what it is"),
        ];
        let said = wrong.iter().filter(|(wrong, _)| *wrong);
        faults.extend(said.map(|(_, why)| format!("{name} {why}")));
        let tenants = [
            "namespace",
            "server",
            "image",
            "project",
            "user",
            "id",
            "uid",
            "url",
        ];
        let unbounded = family
            .labels
            .iter()
            .filter(|label| tenants.contains(&label.as_str()));
        faults.extend(unbounded.map(|label| {
            format!("{name} has the label {label}, of which there may be any number")
        }));
    }
    none(&faults, "https://prometheus.io/docs/practices/naming");
}
