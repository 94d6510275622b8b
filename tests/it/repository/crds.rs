//! `crds/` is what the types say, and what the types say is enough for `kubectl explain` and for an API server that
//! has to bound what it takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use kilonova::api;
use serde_json::Value;

use super::{none, root};

/// What a kind may take in the API server's memory and in etcd, as JSON.
const CRD_BYTES_MAX: usize = 250_000;

#[test]
fn the_generated_files_are_fresh() {
    let fresh = tempfile::tempdir().expect("a folder for fresh definitions");
    let status = Command::new(env!("CARGO_BIN_EXE_kilonova"))
        .args(["crds", "--dir"])
        .arg(fresh.path())
        .status();
    assert!(status.expect("kilonova can be run").success());
    let (fresh, stale) = (files(fresh.path()), files(&root().join("crds")));
    let mut faults = Vec::new();
    for (name, content) in &fresh {
        match stale.get(name) {
            None => faults.push(format!("crds/{name} is missing")),
            Some(found) if found != content => faults.push(format!("crds/{name} is stale")),
            Some(_) => {}
        }
    }
    let unknown = stale.keys().filter(|name| !fresh.contains_key(*name));
    faults.extend(unknown.map(|name| format!("crds/{name} belongs to no kind: remove it")));
    none(&faults, "`cargo run -- crds --dir crds` writes them anew");
}

/// The files of a folder, by name.
pub(super) fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("the folder can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let content = fs::read_to_string(&path).expect("definitions are text");
        (name.into_owned(), content)
    };
    entries.map(read).collect()
}

#[test]
fn every_field_explains_itself() {
    let mut faults = Vec::new();
    each_field(|field| {
        let description = field.schema["description"].as_str().unwrap_or_default();
        if description.trim().len() < 4 {
            faults.push(field.path.clone());
        }
    });
    none(&faults, "each of these wants a doc comment in src/api");
}

/// kube lets the words of a type take the place of an optional field's. Those that have both, and what they shall say.
const WORDS_OF_FIELDS: [(&str, &str); 22] = [
    (
        "Flavor.spec.machine",
        "The machine that the server sees. Default: `Q35`.",
    ),
    (
        "Flavor.spec.firmware",
        "The firmware that starts the server. Default: what the image asks for, else `Bios`.",
    ),
    (
        "Image.spec.properties.machine",
        "The board. Default: `Q35`.",
    ),
    (
        "Image.spec.properties.firmware",
        "The firmware. Default: `Bios`.",
    ),
    (
        "Image.status.state",
        "OpenStack's word for where the image stands: `queued` before",
    ),
    (
        "Server.status.state",
        "OpenStack's word for where the server stands (Compute API",
    ),
    (
        "Server.status.powerState",
        "What the guest does, as the hypervisor sees it.",
    ),
    ("ServerAction.status.state", "Where the action stands."),
    ("ServerAction.status.verb", "What is done."),
    ("Hypervisor.status.virtType", "How guests run."),
    (
        "Guest.status.power",
        "What the guest does; absent before there is a domain.",
    ),
    (
        "Hypervisor.status.capacity.vcpus",
        "Virtual CPUs of a server; threads of a hypervisor.",
    ),
    (
        "Hypervisor.status.capacity.disk",
        "The root disk of a server; what a hypervisor has for root disks.",
    ),
    ("Server.spec.powerState", "Whether the server shall run, be"),
    (
        "Network.status.state",
        "OpenStack's word for how it stands.",
    ),
    (
        "Subnet.spec.ipv6Mode",
        "How guests come to their IPv6 addresses. Default:",
    ),
    ("Port.status.state", "OpenStack's word for how it stands."),
    ("Router.status.state", "OpenStack's word for how it stands."),
    (
        "SecurityGroup.spec.rules[].family",
        "Of which family. Default: both, or the one",
    ),
    (
        "SecurityGroup.spec.rules[].protocol",
        "Of which protocol. Default: any.",
    ),
    (
        "FloatingIP.status.state",
        "OpenStack's word for how it stands.",
    ),
    (
        "LoadBalancer.status.state",
        "OpenStack's word for how it stands.",
    ),
];

#[test]
fn a_field_says_what_it_means_and_not_what_its_type_is() {
    let mut told = 0;
    let mut faults = Vec::new();
    each_field(|field| {
        let described = field.schema["description"].as_str().unwrap_or_default();
        let words = WORDS_OF_FIELDS.iter().find(|(path, _)| *path == field.path);
        let optional_enum = field.has("enum") && field.schema["nullable"] == true;
        match words {
            Some((_, words)) if described.starts_with(words) => told += 1,
            None if !optional_enum => {}
            _ => faults.push(format!("{}: {described}", field.path)),
        }
    });
    none(
        &faults,
        "the type of each of these wants `#[schemars(transform = wordless)]`, and its field a line here",
    );
    assert_eq!(told, WORDS_OF_FIELDS.len(), "every line has its field");
}

#[test]
fn nothing_is_null_that_has_a_default() {
    let mut faults = Vec::new();
    each_field(|field| {
        if field.has("default") && field.schema["nullable"] == true {
            faults.push(field.path.clone());
        }
    });
    none(
        &faults,
        "a null in these would be kept, and our types cannot read it",
    );
}

#[test]
fn every_list_has_a_bound_or_a_key() {
    let mut faults = Vec::new();
    each_field(|field| {
        let bounded = field.has("maxItems") || field.has("x-kubernetes-list-type");
        if field.schema["type"] == "array" && !bounded {
            faults.push(field.path.clone());
        }
        let is_map = field.schema["additionalProperties"].is_object();
        if is_map && field.is_spec() && !field.has("maxProperties") {
            faults.push(field.path.clone());
        }
    });
    none(
        &faults,
        "each of these wants `#[schemars(length(max = …))]` or a merge strategy",
    );
}

#[test]
fn every_list_that_users_write_has_a_bound() {
    let mut faults = Vec::new();
    each_field(|field| {
        if field.is_spec() && field.schema["type"] == "array" && !field.has("maxItems") {
            faults.push(field.path.clone());
        }
    });
    none(
        &faults,
        "each of these wants `#[schemars(length(max = …))]`",
    );
}

#[test]
fn every_text_that_users_write_has_a_bound() {
    let mut faults = Vec::new();
    each_field(|field| {
        let is_text = field.schema["type"] == "string" || field.has("x-kubernetes-int-or-string");
        let bounded = ["maxLength", "enum", "pattern"]
            .iter()
            .any(|word| field.has(word));
        if is_text && field.is_spec() && !bounded {
            faults.push(field.path.clone());
        }
    });
    none(
        &faults,
        "each of these wants `#[schemars(length(max = …))]` or a `regex(pattern = …)`",
    );
}

#[test]
fn every_rule_says_what_is_wrong() {
    let mut faults = Vec::new();
    each_schema(|path, schema| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if rule["message"]
                .as_str()
                .is_none_or(|message| message.len() < 16)
            {
                faults.push(format!("{path}: {}", rule["rule"]));
            }
        }
    });
    none(&faults, "each of these wants `.message(…)`");
}

#[test]
fn no_definition_is_too_large() {
    for crd in api::crds().expect("the schemas are JSON") {
        let bytes = serde_json::to_vec(&crd).expect("a CRD is JSON").len();
        let kind = &crd.spec.names.kind;
        assert!(bytes < CRD_BYTES_MAX, "{kind} has {bytes} bytes");
    }
}

/// A field of a kind: something that has a name in YAML.
struct Field<'a> {
    path: String,
    schema: &'a Value,
}

impl Field<'_> {
    fn has(&self, word: &str) -> bool {
        !self.schema[word].is_null()
    }

    fn is_spec(&self) -> bool {
        self.path.contains(".spec.")
    }
}

/// Looks at every field below spec and status, and at what lists and maps hold.
fn each_field(mut look: impl FnMut(&Field<'_>)) {
    each_schema(|path, schema| {
        let properties = schema["properties"].as_object().into_iter().flatten();
        for (name, schema) in properties {
            let path = format!("{path}.{name}");
            look(&Field { path, schema });
        }
        // What a list or a map holds has no name and wants no words of its own, but a bound all the same.
        for (word, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
            let mut schema = schema[word].clone();
            if schema.is_object() {
                schema["description"] = "what the list or the map above holds".into();
                let path = format!("{path}{mark}");
                look(&Field {
                    path,
                    schema: &schema,
                });
            }
        }
    });
}

/// Looks at every schema, from the outside in.
fn each_schema(mut look: impl FnMut(&str, &Value)) {
    for crd in api::crds().expect("the schemas are JSON") {
        for version in &crd.spec.versions {
            let schema = serde_json::to_value(&version.schema).expect("a schema is JSON");
            for part in ["spec", "status"] {
                let path = format!("{}.{part}", crd.spec.names.kind);
                walk(
                    &path,
                    &schema["openAPIV3Schema"]["properties"][part],
                    &mut look,
                );
            }
        }
    }
}

fn walk(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(path, schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), inner, look);
    }
    for (word, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[word].is_object() {
            walk(&format!("{path}{mark}"), &schema[word], look);
        }
    }
}
