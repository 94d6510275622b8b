//! Alerts and dashboards ask for metrics that there are, by labels that they have; every alert says what to do and is
//! tested; every panel explains itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use super::{
    metrics::{Family, families},
    none, promql, root,
};

const RULES: &str = "charts/kilonova/files/rules.yaml";
const TESTS: &str = "charts/kilonova/files/rules.test.yaml";
const DASHBOARDS: &str = "charts/kilonova/files/dashboards";
const RUNBOOKS: &str = "charts/kilonova/runbooks";

/// Labels that Prometheus puts on whatever it scrapes, and not the binary.
const OF_TARGETS: [&str; 1] = ["instance"];

/// Series that are not the binary's, with their labels, and why they are asked for.
const FOREIGN: [(&str, &[&str], &str); 1] = [(
    "ALERTS",
    &["alertname", "alertstate"],
    "Prometheus' own word for what fires: the tests of the rules ask for it",
)];

type Labels = BTreeSet<String>;

/// The labels of every series that can be asked for.
struct Known(BTreeMap<String, Labels>);

impl Known {
    /// What the binary registers, and what the rules record of it.
    fn new(faults: &mut Vec<String>) -> Self {
        let mut known = Self(BTreeMap::new());
        for (name, family) in families() {
            known.add(&name, &family);
        }
        for (name, labels, _) in FOREIGN {
            let labels = labels.iter().map(|label| (*label).to_owned());
            known.0.insert(name.to_owned(), labels.collect());
        }
        for rule in rules().iter().filter(|rule| rule["record"].is_string()) {
            let name = text(&rule["record"]);
            let fixed = rule["labels"].as_object().into_iter().flatten();
            let mut labels = known.ask(text(&rule["expr"]), name, faults);
            labels.extend(fixed.map(|(label, _)| label.clone()));
            let level: Labels = name
                .split(':')
                .next()
                .unwrap_or_default()
                .split('_')
                .map(str::to_owned)
                .collect();
            if level != labels {
                faults.push(format!(
                    "{name} begins with its labels, which are {labels:?}"
                ));
            }
            known.0.insert(name.to_owned(), labels);
        }
        known
    }

    fn add(&mut self, name: &str, family: &Family) {
        let of_targets = OF_TARGETS.iter().map(|label| (*label).to_owned());
        let labels: Labels = family.labels.iter().cloned().chain(of_targets).collect();
        if family.kind != "histogram" {
            self.0.insert(name.to_owned(), labels);
            return;
        }
        let with_bounds = labels.iter().cloned().chain(["le".to_owned()]).collect();
        self.0.insert(format!("{name}_bucket"), with_bounds);
        for suffix in ["sum", "count"] {
            self.0.insert(format!("{name}_{suffix}"), labels.clone());
        }
    }

    /// Looks whether an expression asks for what there is; the labels of its answer.
    fn ask(&self, expression: &str, who: &str, faults: &mut Vec<String>) -> Labels {
        let question = promql::read(expression);
        let mut all = Labels::new();
        for (name, chosen_by) in &question.series {
            let Some(labels) = self.0.get(name) else {
                faults.push(format!("{who}: nobody exports {name}"));
                continue;
            };
            let unknown = chosen_by.iter().filter(|label| !labels.contains(*label));
            faults.extend(unknown.map(|label| format!("{who}: {name} has no label {label}")));
            all.extend(labels.iter().cloned());
        }
        let named = question.by.iter().chain(&question.on);
        let unknown = named.filter(|label| !all.contains(*label));
        faults.extend(unknown.map(|label| format!("{who}: nothing here has the label {label}")));
        let aggregated = ["sum(", "max(", "count(", "absent("]
            .iter()
            .any(|word| expression.contains(word));
        let mut left = if question.by.is_empty() && !aggregated {
            all
        } else {
            question.by
        };
        left.remove("le");
        left
    }
}

#[test]
fn rules_ask_for_what_there_is_and_alerts_say_what_to_do() {
    let mut faults = Vec::new();
    let known = Known::new(&mut faults);
    assert!(alerts().len() > 20, "the rules are read");
    for (name, rule) in alerts() {
        let labels = known.ask(text(&rule["expr"]), &name, &mut faults);
        if !["critical", "warning", "info"].contains(&text(&rule["labels"]["severity"])) {
            faults.push(format!("{name} has no severity"));
        }
        let said = &rule["annotations"];
        for word in ["summary", "description"] {
            if text(&said[word]).len() < 16 {
                faults.push(format!("{name} has no {word}"));
            }
            for label in put_in(text(&said[word]), "$labels.") {
                if !labels.contains(&label) {
                    faults.push(format!(
                        "{name} speaks of the label {label}, and has {labels:?}"
                    ));
                }
            }
        }
        if !text(&said["description"]).contains("First: ") {
            faults.push(format!("{name} does not say what to do first"));
        }
        if said["runbook_url"] != format!("RUNBOOK_BASE/{name}.md") {
            faults.push(format!(
                "{name} does not name its runbook as RUNBOOK_BASE/{name}.md"
            ));
        }
    }
    none(&faults, &format!("mend {RULES}"));
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let mut faults = Vec::new();
    let alerts = alerts();
    let runbooks = files(RUNBOOKS);
    for name in alerts.keys() {
        let Some(runbook) = runbooks.get(&format!("{name}.md")) else {
            faults.push(format!("{name} has no runbook"));
            continue;
        };
        for part in [
            &format!("# {name}\n"),
            "## Impact\n",
            "## Diagnosis\n",
            "## Remedy\n",
        ] {
            if !runbook.contains(part) {
                faults.push(format!("the runbook {name} lacks {part:?}"));
            }
        }
    }
    let known = |file: &&String| {
        file.strip_suffix(".md")
            .is_some_and(|name| alerts.contains_key(name))
    };
    let stale = runbooks.keys().filter(|file| !known(file));
    faults.extend(stale.map(|file| format!("{file} is of no alert")));
    none(&faults, &format!("mend {RUNBOOKS}"));
}

#[test]
fn every_alert_is_tested_and_the_tests_speak_of_what_there_is() {
    let mut faults = Vec::new();
    let known = Known::new(&mut faults);
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in yaml(TESTS)["tests"].as_array().expect("there are tests") {
        let who = format!("the test {:?}", text(&test["name"]));
        for input in list(&test["input_series"]) {
            known.ask(text(&input["series"]), &who, &mut faults);
        }
        for case in list(&test["alert_rule_test"]) {
            let name = text(&case["alertname"]).to_owned();
            let expected = list(&case["exp_alerts"]);
            if expected.is_empty() {
                silent.insert(name)
            } else {
                fires.insert(name)
            };
        }
        for case in list(&test["promql_expr_test"]) {
            known.ask(text(&case["expr"]), &who, &mut faults);
            let samples = list(&case["exp_samples"]);
            let alerts = samples.iter().filter_map(|sample| {
                let (_, name) = text(&sample["labels"]).split_once("alertname=\"")?;
                name.split('"').next().map(str::to_owned)
            });
            fires.extend(alerts);
        }
    }
    for name in alerts().keys() {
        if !fires.contains(name) {
            faults.push(format!("no test has {name} fire"));
        }
        if !silent.contains(name) {
            faults.push(format!("no test shows that {name} does not fire too early"));
        }
    }
    none(&faults, &format!("mend {TESTS}"));
}

#[test]
fn dashboards_ask_for_what_there_is_and_explain_themselves() {
    let mut faults = Vec::new();
    let known = Known::new(&mut faults);
    let dashboards = files(DASHBOARDS);
    assert!(dashboards.len() > 1, "there are dashboards");
    for (file, content) in dashboards {
        let dashboard: Value = serde_json::from_str(&content).expect("a dashboard is JSON");
        if dashboard["schemaVersion"] != 39
            || !dashboard["uid"].is_null()
            || !dashboard["id"].is_null()
        {
            faults.push(format!(
                "{file} is of schema 39, and has neither id nor uid: Grafana gives them"
            ));
        }
        for variable in list(&dashboard["templating"]["list"]) {
            // `label_values(series, label)` asks for the series, chosen by the label.
            let query = text(&variable["query"]["query"]);
            if let Some((series, label)) = query.split_once(", ") {
                let (series, label) = (
                    series.replace("label_values(", ""),
                    label.trim_end_matches(')'),
                );
                known.ask(&format!("{series}{{{label}=\"\"}}"), &file, &mut faults);
            }
        }
        let panels = list(&dashboard["panels"]);
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            look(panel, &file, &known, &mut faults);
        }
    }
    none(&faults, &format!("mend {DASHBOARDS}"));
}

fn look(panel: &Value, file: &str, known: &Known, faults: &mut Vec<String>) {
    let who = format!("{file}: {:?}", text(&panel["title"]));
    let defaults = &panel["fieldConfig"]["defaults"];
    for (what, value) in [
        ("title", &panel["title"]),
        ("description", &panel["description"]),
        ("unit", &defaults["unit"]),
    ] {
        if text(value).is_empty() {
            faults.push(format!("{who} has no {what}"));
        }
    }
    if list(&defaults["thresholds"]["steps"]).is_empty() {
        faults.push(format!("{who} has no thresholds"));
    }
    let targets = list(&panel["targets"]);
    if targets.is_empty() {
        faults.push(format!("{who} asks for nothing"));
    }
    for target in targets {
        if target["datasource"]["uid"] != "${datasource}" {
            faults.push(format!(
                "{who} is bound to one data source: use ${{datasource}}"
            ));
        }
        let labels = known.ask(text(&target["expr"]), &who, faults);
        for label in put_in(text(&target["legendFormat"]), "") {
            if !labels.contains(&label) {
                faults.push(format!("{who} shows the label {label}, and has {labels:?}"));
            }
        }
    }
}

#[test]
fn promtool_agrees() {
    for words in [["check", "rules", RULES], ["test", "rules", TESTS]] {
        let run = Command::new("promtool")
            .args(words)
            .current_dir(root())
            .output();
        let run = run.expect("promtool can be run: `apt-get install prometheus` has it");
        let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{said}");
        assert!(said.contains("SUCCESS"), "{said}");
    }
}

/// The words that a template puts in: of `{{ $labels.zone }}`, `zone`.
fn put_in(template: &str, before: &str) -> Vec<String> {
    let parts = template.split("{{").skip(1);
    let inner = parts.filter_map(|part| part.split("}}").next()?.trim().strip_prefix(before));
    inner.map(str::to_owned).collect()
}

fn rules() -> Vec<Value> {
    let groups = yaml(RULES);
    let rules = list(&groups["groups"])
        .iter()
        .flat_map(|group| list(&group["rules"]));
    rules.cloned().collect()
}

fn alerts() -> BTreeMap<String, Value> {
    let named = |rule: Value| Some((rule["alert"].as_str()?.to_owned(), rule));
    rules().into_iter().filter_map(named).collect()
}

fn yaml(path: &str) -> Value {
    let content = fs::read_to_string(root().join(path)).expect("the file is there");
    serde_saphyr::from_str(&content).expect("the file is YAML")
}

fn files(folder: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    paths
        .map(|path| {
            (
                name(&path),
                fs::read_to_string(&path).expect("the file is text"),
            )
        })
        .collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
