//! The values of each role: its settings, and how Kubernetes runs it.

use k8s_openapi::{
    api::core::v1::{EnvVar, Toleration},
    apimachinery::pkg::util::intstr::IntOrString,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::settings::{AgentSettings, MetadataSettings, OperatorSettings};

use super::{kubernetes::Resources, types::Words};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Operator {
    /// Settings of the operator itself.
    settings: OperatorSettings,
    /// How many there are. One leads; another takes over within 15 s of its end.
    #[schemars(range(min = 0, max = 9))]
    replicas: u32,
    /// A priority class that is there already, such as `system-cluster-critical`. Default: one of the chart's own.
    priority_class_name: String,
    /// What each needs, and at most gets. (34 MiB at 100 servers. No limit of CPU: who waits for it loses the lead.)
    resources: Resources,
    /// Labels of the nodes where it may run.
    node_selector: Words,
    /// Where it runs, in Kubernetes' words. Default: on different nodes where there are some.
    affinity: Map<String, Value>,
    /// Taints that it tolerates.
    tolerations: Vec<Toleration>,
    /// Annotations of its pods.
    pod_annotations: Words,
    /// Labels of its pods.
    pod_labels: Words,
    /// More environment, such as `[{name: HTTPS_PROXY, value: …}]`.
    extra_env: Vec<EnvVar>,
}

impl Default for Operator {
    fn default() -> Self {
        Self {
            settings: OperatorSettings::default(),
            replicas: 2,
            priority_class_name: String::new(),
            resources: Resources::of("50m", ("64Mi", "512Mi"), ("16Mi", "64Mi")),
            node_selector: Words::new(),
            affinity: Map::new(),
            tolerations: Vec::new(),
            pod_annotations: Words::new(),
            pod_labels: Words::new(),
            extra_env: Vec::new(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Agent {
    /// Settings of the agent itself.
    settings: AgentSettings,
    /// How many are replaced at once in an upgrade: a number, or a part of all, such as `10%`. Guests run on meanwhile.
    #[schemars(schema_with = "number_or_percent")]
    max_unavailable: IntOrString,
    /// The port of each host where it serves its metrics and tells whether it is well.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// How images' addresses are looked up: `ClusterFirstWithHostNet` also finds Services, `Default` does as the host.
    dns_policy: DnsPolicy,
    /// A priority class that is there already, such as `system-node-critical`. Default: one of the chart's own.
    priority_class_name: String,
    /// What each needs, and at most gets. (No limit of CPU: guests would wait with it.)
    resources: Resources,
    /// More labels of the nodes where it runs, beside `kilonova.dev/hypervisor=true`.
    node_selector: Words,
    /// Where it runs, in Kubernetes' words.
    affinity: Map<String, Value>,
    /// Taints that it tolerates. Default: all, since a node that was labelled as a hypervisor is meant to be one.
    tolerations: Vec<Toleration>,
    /// Annotations of its pods.
    pod_annotations: Words,
    /// Labels of its pods.
    pod_labels: Words,
    /// More environment, such as `[{name: HTTPS_PROXY, value: …}]`.
    extra_env: Vec<EnvVar>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            settings: AgentSettings::default(),
            max_unavailable: IntOrString::String("10%".to_owned()),
            port: 8081,
            dns_policy: DnsPolicy::ClusterFirstWithHostNet,
            priority_class_name: String::new(),
            resources: Resources::of("50m", ("64Mi", "512Mi"), ("16Mi", "256Mi")),
            node_selector: Words::new(),
            affinity: Map::new(),
            tolerations: vec![Toleration {
                operator: Some("Exists".to_owned()),
                ..Toleration::default()
            }],
            pod_annotations: Words::new(),
            pod_labels: Words::new(),
            extra_env: Vec::new(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Whether there is a metadata service. Servers without networks need none.
    enabled: bool,
    /// Settings of the metadata service itself.
    settings: MetadataSettings,
    /// How many are replaced at once in an upgrade: a number, or a part of all, such as `10%`. Guests get no answer for
    /// some seconds.
    #[schemars(schema_with = "number_or_percent")]
    max_unavailable: IntOrString,
    /// The port of each host where it serves its metrics and tells whether it is well. (Guests do not reach it.)
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// A priority class that is there already, such as `system-node-critical`. Default: one of the chart's own.
    priority_class_name: String,
    /// What each needs, and at most gets.
    resources: Resources,
    /// More labels of the nodes where it runs, beside `kilonova.dev/hypervisor=true`.
    node_selector: Words,
    /// Where it runs, in Kubernetes' words.
    affinity: Map<String, Value>,
    /// Taints that it tolerates. Default: all, since a node that was labelled as a hypervisor is meant to be one.
    tolerations: Vec<Toleration>,
    /// Annotations of its pods.
    pod_annotations: Words,
    /// Labels of its pods.
    pod_labels: Words,
    /// More environment, such as `[{name: HTTPS_PROXY, value: …}]`.
    extra_env: Vec<EnvVar>,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            enabled: true,
            settings: MetadataSettings::default(),
            max_unavailable: IntOrString::String("10%".to_owned()),
            port: 8082,
            priority_class_name: String::new(),
            resources: Resources::of("20m", ("32Mi", "256Mi"), ("16Mi", "64Mi")),
            node_selector: Words::new(),
            affinity: Map::new(),
            tolerations: vec![Toleration {
                operator: Some("Exists".to_owned()),
                ..Toleration::default()
            }],
            pod_annotations: Words::new(),
            pod_labels: Words::new(),
            extra_env: Vec::new(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[allow(dead_code, reason = "the schema names what the defaults do not use")]
enum DnsPolicy {
    ClusterFirstWithHostNet,
    Default,
}

fn number_or_percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "oneOf": [
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": "^([1-9][0-9]?|100)%$" },
    ]})
}
