//! What is generated in `charts/` is fresh. What Helm makes of the charts is looked at by `.ci/charts`, which has Helm.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{none, root};

const CHART: &str = "charts/kilonova";
const CRDS: &str = "charts/kilonova-crds";

/// Runs this repository's program.
fn kilonova(arguments: &[&str], folder: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kilonova"));
    let output = command.args(arguments).arg(folder).output();
    let output = output.expect("kilonova can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// The files of `fresh` that differ from those of `found`, or are on one side only.
fn stale(fresh: &Path, found: &Path) -> Vec<String> {
    let (fresh, found) = (super::crds::files(fresh), super::crds::files(found));
    let names = fresh.keys().chain(found.keys());
    let mut stale: Vec<_> = names
        .filter(|name| fresh.get(*name) != found.get(*name))
        .cloned()
        .collect();
    stale.sort();
    stale.dedup();
    stale
}

#[test]
fn the_charts_kinds_are_fresh() {
    let fresh = tempfile::tempdir().expect("a folder for fresh templates");
    kilonova(&["crds", "--chart"], fresh.path());
    let templates = fresh.path().join("templates");
    let own = "_helpers.tpl";
    let home = root().join(CRDS).join("templates");
    fs::copy(home.join(own), templates.join(own)).expect("the chart has words of its own");
    let cure = format!("`cargo run -- crds --chart {CRDS}` writes them anew");
    none(&stale(&templates, &home), &cure);
}

#[test]
fn the_charts_values_are_those_of_the_types() {
    let fresh = tempfile::tempdir().expect("a folder for fresh values");
    let chart = root().join(CHART);
    let readme = "README.md";
    fs::copy(chart.join(readme), fresh.path().join(readme)).expect("the chart has a README");
    kilonova(&["values-schema", "--chart"], fresh.path());
    let found = tempfile::tempdir().expect("a folder for what is there");
    for name in [readme, "values.yaml", "values.schema.json"] {
        fs::copy(chart.join(name), found.path().join(name)).expect("the chart has values");
    }
    let cure = format!("`cargo run -- values-schema --chart {CHART}` writes them anew");
    none(&stale(fresh.path(), found.path()), &cure);
}

#[test]
fn every_value_is_known_and_every_known_value_is_there() {
    let read =
        |name: &str| fs::read_to_string(root().join(CHART).join(name)).expect("values are there");
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).expect("values are YAML");
    let schema: Value =
        serde_json::from_str(&read("values.schema.json")).expect("a schema is JSON");
    let mut faults = Vec::new();
    compare("", &values, &schema, &mut faults);
    none(&faults, "see src/cli/values");
}

/// Each level of the values has the keys of its schema, with words and the same defaults. `global` is Helm's.
fn compare(path: &str, values: &Value, schema: &Value, faults: &mut Vec<String>) {
    let Some(known) = schema["properties"].as_object() else {
        return;
    };
    if schema["additionalProperties"] != false {
        faults.push(format!("{path:?} takes what it does not know"));
    }
    for (name, schema) in known.iter().filter(|(name, _)| *name != "global") {
        let path = format!("{path}.{name}");
        match values.get(name) {
            None => faults.push(format!("values.yaml lacks {path}")),
            Some(value) if schema["properties"].is_null() && *value != schema["default"] => {
                faults.push(format!(
                    "{path} is {value}, and by its schema {}",
                    schema["default"]
                ));
            }
            Some(value) => compare(&path, value, schema, faults),
        }
        if schema["description"]
            .as_str()
            .is_none_or(|words| words.len() < 16)
        {
            faults.push(format!("{path} has no words"));
        }
    }
    for name in values
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        if !known.contains_key(name) {
            faults.push(format!("the schema lacks {path}.{name}"));
        }
    }
}

#[test]
fn chart_image_and_program_are_of_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    let mut faults = Vec::new();
    for chart in [CHART, CRDS] {
        let text =
            fs::read_to_string(root().join(chart).join("Chart.yaml")).expect("a chart has a name");
        let chart_yaml: Value = serde_saphyr::from_str(&text).expect("Chart.yaml is YAML");
        let mut places = vec!["/version", "/appVersion"];
        if chart == CHART {
            places.push("/dependencies/0/version");
        }
        for place in places {
            if chart_yaml.pointer(place).and_then(Value::as_str) != Some(version) {
                faults.push(format!("{chart}/Chart.yaml{place} is not {version}"));
            }
        }
    }
    none(&faults, "they are released together");
}
