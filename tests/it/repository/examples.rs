//! The examples are taken by an API server, every object of them.

use std::fs;

use crate::admission::Desk;

use super::root;

/// What `devstack up` puts in place of the placeholders.
const VALUES: [(&str, &str); 2] = [
    ("_URL}", "http://images.example/a.qcow2"),
    (
        "_SHA256}",
        "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
    ),
];

#[tokio::test]
async fn every_example_is_accepted() {
    let desk = Desk::open().await;
    let mut examples = 0;
    for entry in fs::read_dir(root().join("examples")).expect("examples/ can be listed") {
        let path = entry.expect("examples/ can be listed").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        examples += 1;
        let manifests = fill_in(&fs::read_to_string(&path).expect("examples are text"));
        let (namespaces, others): (Vec<&str>, Vec<&str>) = manifests
            .split("\n---\n")
            .filter(|part| part.contains("kind:"))
            .partition(|part| part.contains("kind: Namespace"));
        // What is only tried is not there for what comes after it.
        for namespace in namespaces {
            let made = desk.cluster.apply(namespace).await;
            made.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        }
        let objects = others.len();
        let manifests = others.join("\n---\n");
        let words = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
        let said = desk.cluster.kubectl(&words, &manifests).await;
        let said = said.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        let taken = said.lines().filter(|line| line.contains("created")).count();
        assert_eq!(taken, objects, "{}: {said}", path.display());
    }
    assert!(examples > 0, "there are examples");
}

/// Puts something in place of `${TINY_URL}`, `${DEBIAN_SHA256}` and their like.
fn fill_in(manifests: &str) -> String {
    let told: Vec<&str> = manifests
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let told = told.join("\n");
    let mut parts = told.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let found = VALUES
            .iter()
            .find_map(|(end, value)| Some((part.split_once(end)?.1, value)));
        let (rest, value) = found.unwrap_or_else(|| panic!("nobody fills in ${{{part}"));
        filled += value;
        filled += rest;
    }
    filled
}
