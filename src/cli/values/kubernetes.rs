//! Values in Kubernetes' own words, with defaults that are short to read.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// What a container needs, and at most gets.
#[derive(Serialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What is kept free for it.
    #[schemars(schema_with = "quantities")]
    requests: BTreeMap<&'static str, Quantity>,
    /// What it gets at most.
    #[schemars(schema_with = "quantities")]
    limits: BTreeMap<&'static str, Quantity>,
}

impl Resources {
    /// CPU without a limit; memory and disk (logs) with one.
    pub fn of(cpu: &str, memory: (&str, &str), disk: (&str, &str)) -> Self {
        let quantity = |text: &str| Quantity(text.to_owned());
        let bounded = |memory, disk| {
            BTreeMap::from([
                ("memory", quantity(memory)),
                ("ephemeral-storage", quantity(disk)),
            ])
        };
        let mut requests = bounded(memory.0, disk.0);
        requests.insert("cpu", quantity(cpu));
        Self {
            requests,
            limits: bounded(memory.1, disk.1),
        }
    }
}

fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": ["string", "number"], "pattern": "^[0-9.]+([eE][0-9]+|[numkMGTPE]|[KMGTPE]i)?$" },
    })
}
