//! The operator's rights in the chart are those that it needs to hand out others, and what is said of them is true.
//! Whether they are all that it uses, and no more, the audit log of a whole run tells.

use std::fs;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kilonova::compute::plan::hypervisor::{PodAccounts, outfit};

use super::{none, root};

/// The operator's `ClusterRole`, with words of Helm's in place of names.
fn operator() -> ClusterRole {
    let path = root().join("charts/kilonova/templates/rbac/operator.yaml");
    let text = fs::read_to_string(path).expect("the chart has the operator's rights");
    let first = text.split("\n---\n").next().unwrap_or_default();
    let mut plain = String::new();
    let mut rest = first;
    while let Some((before, more)) = rest.split_once("{{") {
        let (_, after) = more.split_once("}}").expect("every brace is closed");
        plain += before;
        // `labels: {{- … }}` would be a map.
        plain += if before.ends_with("labels: ") {
            "{}"
        } else {
            "helm"
        };
        rest = after;
    }
    plain += rest;
    serde_saphyr::from_str(&plain).expect("the role is YAML")
}

/// Every right of a rule, as `<verb> <resource>[.<group>][/sub]`.
fn rights(rule: &PolicyRule) -> Vec<String> {
    let mut rights = Vec::new();
    for verb in &rule.verbs {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
                let dot = if group.is_empty() { "" } else { "." };
                let slash = if sub.is_empty() { "" } else { "/" };
                rights.push(format!("{verb} {resource}{dot}{group}{slash}{sub}"));
            }
        }
    }
    rights
}

#[test]
fn the_operator_has_every_right_that_it_hands_to_nodes() {
    let mut node = Node::default();
    node.metadata.name = Some("n1".to_owned());
    let outfit = outfit(&node, &PodAccounts::default());
    let given = [
        outfit.role.rules,
        outfit.cluster_role.rules,
        outfit.metadata.role.rules,
    ];
    let rules = operator().rules.unwrap_or_default();
    // One that is narrowed to names does not cover others.
    let wide = rules.iter().filter(|rule| rule.resource_names.is_none());
    let held: Vec<_> = wide.flat_map(rights).collect();
    let given: Vec<_> = given.iter().flatten().flatten().flat_map(rights).collect();
    assert!(!given.is_empty());
    let lacking: Vec<_> = given
        .into_iter()
        .filter(|right| !held.contains(right))
        .collect();
    none(
        &lacking,
        "Kubernetes lets nobody hand out what he has not got: see templates/rbac/operator.yaml",
    );
}

#[test]
fn every_right_that_is_rarely_used_is_granted_and_has_its_reason() {
    let role = operator();
    let held: Vec<_> = role.rules.iter().flatten().flat_map(rights).collect();
    let annotations = role.metadata.annotations.unwrap_or_default();
    let rare = &annotations["kilonova.dev/rarely-used"];
    let is_wrong = |line: &&str| match line.split_once(": ") {
        Some((right, reason)) => !held.contains(&right.to_owned()) || reason.len() < 16,
        None => true,
    };
    let wrong: Vec<_> = rare.lines().filter(is_wrong).map(str::to_owned).collect();
    none(
        &wrong,
        "each line is a right that the role grants, and the reason",
    );
}

#[test]
fn no_right_is_granted_twice_and_none_to_everything() {
    let rules = operator().rules.unwrap_or_default();
    let mut faults = Vec::new();
    let wide = rules.iter().filter(|rule| rule.resource_names.is_none());
    let mut all: Vec<_> = wide.flat_map(rights).collect();
    faults.extend(all.iter().filter(|right| right.contains('*')).cloned());
    all.sort();
    faults.extend(
        all.windows(2)
            .filter(|pair| pair[0] == pair[1])
            .map(|pair| pair[0].clone()),
    );
    none(&faults, "one line for each right, by its name");
}
