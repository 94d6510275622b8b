//! The values of OVN: whose it is, and how Kubernetes runs the chart's own.

use k8s_openapi::api::core::v1::Toleration;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{kubernetes::Resources, types::Words};

#[derive(Serialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Ovn {
    /// Where nodes, and the operator, find the southbound database, such as `ssl:ovn.example:6642`, several with commas between
    /// them. Names are resolved by the operator, which only reads it. Default: the chart's own.
    southbound: String,
    /// A Secret of this namespace with `ca.crt`, `tls.crt` and `tls.key`, by which the operator and an OVN of your own know each
    /// other. Nodes are then set up by their administrators. Default: the operator makes and renews all certificates.
    #[schemars(regex(pattern = r"^([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?)?$"))]
    certificate_secret: String,
    /// The central side of OVN: the two databases, as clusters, and ovn-northd.
    central: Central,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Central {
    /// Whether the chart brings it. With an OVN of your own, say where it is by `operator.settings.ovnNorthbound` and
    /// `ovn.southbound`.
    enabled: bool,
    /// How many members each database has: 3 outlive one node's end, 5 outlive two. May be raised; lowered by one at a time.
    #[schemars(range(min = 1, max = 7))]
    replicas: u32,
    /// The DNS domain of the cluster.
    #[schemars(length(min = 1))]
    cluster_domain: String,
    /// Where each member keeps its databases.
    storage: Storage,
    /// What each program needs, and at most gets.
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
}

impl Default for Central {
    fn default() -> Self {
        Self {
            enabled: true,
            replicas: 3,
            cluster_domain: "cluster.local".to_owned(),
            storage: Storage::default(),
            resources: Resources::of("50m", ("64Mi", "2Gi"), ("16Mi", "256Mi")),
            node_selector: Words::new(),
            affinity: Map::new(),
            tolerations: Vec::new(),
            pod_annotations: Words::new(),
            pod_labels: Words::new(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Storage {
    /// The class of the volumes. Default: the cluster's default class.
    class_name: String,
    /// How large each is. 1,000 ports take some MiB.
    #[schemars(regex(pattern = r"^[1-9][0-9]*(Mi|Gi|Ti)$"))]
    size: String,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            class_name: String::new(),
            size: "2Gi".to_owned(),
        }
    }
}
