//! The values that are not one role's own.

use std::collections::BTreeMap;

use k8s_openapi::api::{core::v1::LocalObjectReference, networking::v1::NetworkPolicyPeer};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    ovn::Ovn,
    roles::{Agent, Metadata, Operator},
};

/// Labels or annotations.
pub type Words = BTreeMap<String, String>;

/// Values of the chart kilonova.
#[derive(Serialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Values {
    /// The container image of all roles.
    image: Image,
    /// Secrets of this namespace with which the image is pulled, such as `[{name: registry}]`.
    image_pull_secrets: Vec<LocalObjectReference>,
    /// What takes the chart's name's place in the names and labels of all objects.
    #[schemars(regex(pattern = r"^([a-z]([-a-z0-9]{0,46}[a-z0-9])?)?$"))]
    name_override: String,
    /// What the names of all objects begin with. Default: the release's name, with the chart's if that is not in it.
    #[schemars(regex(pattern = r"^([a-z]([-a-z0-9]{0,46}[a-z0-9])?)?$"))]
    fullname_override: String,
    /// Labels of every object that the chart installs, but for the kinds.
    common_labels: Words,
    /// The kinds (custom resource definitions), which are a chart of their own.
    crds: Crds,
    /// Rights of people.
    rbac: Rbac,
    /// Who may speak to the operator, and to whom it speaks. (What runs on nodes uses the network of its host, to which
    /// Kubernetes applies no policies.)
    network_policy: NetworkPolicy,
    /// What Prometheus and Grafana are told.
    monitoring: Monitoring,
    /// The operator: schedules servers, and tells nodes what to run. Several stand by, one leads.
    operator: Operator,
    /// The agent, on every node that is labelled `kilonova.dev/hypervisor=true`.
    agent: Agent,
    /// The metadata service, on the same nodes: tells guests of themselves at 169.254.169.254.
    metadata: Metadata,
    /// OVN, which makes the networks.
    ovn: Ovn,
}

/// The container image of all roles.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Image {
    /// Where the image is, without tag and digest.
    #[schemars(regex(pattern = r"^[^:@ ]+(:[0-9]+/[^:@ ]+)?$"))]
    repository: String,
    /// The tag. Default: the chart's appVersion.
    #[schemars(regex(pattern = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"))]
    tag: String,
    /// The digest, such as `sha256:…`. It goes before the tag.
    #[schemars(regex(pattern = r"^(sha256:[0-9a-f]{64})?$"))]
    digest: String,
    /// When the image is pulled. A node must be able to start its agent again while the registry is away.
    pull_policy: PullPolicy,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            repository: "ghcr.io/kilonova/kilonova".to_owned(),
            tag: String::new(),
            digest: String::new(),
            pull_policy: PullPolicy::IfNotPresent,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[allow(dead_code, reason = "the schema names what the defaults do not use")]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Crds {
    /// Whether the kinds are installed, and upgraded, with this release.
    enabled: bool,
    /// Whether the kinds, and with them every server, stay when the release is uninstalled. Without it, an uninstall is
    /// refused for as long as there is a server, guest, image or flavor.
    keep: bool,
}

impl Default for Crds {
    fn default() -> Self {
        Self {
            enabled: true,
            keep: true,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Rbac {
    /// Whether the roles `view`, `edit` and `admin` of Kubernetes extend to servers, actions, images and key pairs.
    aggregate: bool,
    /// Whether everybody who is known to the cluster may read the flavors.
    catalogue: bool,
}

impl Default for Rbac {
    fn default() -> Self {
        Self {
            aggregate: true,
            catalogue: true,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct NetworkPolicy {
    /// Whether there is one.
    enabled: bool,
    /// Who may read the operator's metrics, as peers of a `NetworkPolicy`. Default: whoever reaches it.
    metrics_from: Vec<NetworkPolicyPeer>,
    /// Where the API server is.
    api_server: ApiServer,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            metrics_from: Vec::new(),
            api_server: ApiServer::default(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct ApiServer {
    /// Its networks, such as `[10.0.0.0/28]`. Default: anywhere.
    #[schemars(inner(regex(pattern = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")))]
    cidrs: Vec<String>,
    /// Its ports, as it is reached behind its Service: those of the common distributions.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65535)))]
    ports: Vec<u16>,
}

impl Default for ApiServer {
    fn default() -> Self {
        Self {
            cidrs: Vec::new(),
            ports: vec![443, 6443, 8443, 16443],
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Monitoring {
    /// For the Prometheus operator: collect the metrics of all roles.
    service_monitor: ServiceMonitor,
    /// For the Prometheus operator: alerts.
    prometheus_rule: PrometheusRule,
    /// For Grafana: dashboards, in `ConfigMap`s that its sidecar finds.
    dashboards: Dashboards,
    /// Where the pages are that alerts point at, one for each alert.
    #[schemars(regex(pattern = r"^https?://[^ ]+$"))]
    runbook_url: String,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            service_monitor: ServiceMonitor::default(),
            prometheus_rule: PrometheusRule::default(),
            dashboards: Dashboards::default(),
            runbook_url: "https://github.com/kilonova/kilonova/blob/main/charts/kilonova/runbooks"
                .to_owned(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct ServiceMonitor {
    /// Whether there are `ServiceMonitor`s. The cluster must know the kind.
    enabled: bool,
    /// How often metrics are collected.
    #[schemars(regex(pattern = r"^[1-9][0-9]*(ms|s|m|h)$"))]
    interval: String,
    /// Labels by which your Prometheus chooses them.
    labels: Words,
}

impl Default for ServiceMonitor {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: "30s".to_owned(),
            labels: Words::new(),
        }
    }
}

#[derive(Serialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", default)]
struct PrometheusRule {
    /// Whether there is a `PrometheusRule`. The cluster must know the kind.
    enabled: bool,
    /// Labels by which your Prometheus chooses it.
    labels: Words,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Dashboards {
    /// Whether there are dashboards.
    enabled: bool,
    /// Labels by which Grafana's sidecar chooses them.
    labels: Words,
    /// Annotations for it, such as the folder they go to.
    annotations: Words,
}

impl Default for Dashboards {
    fn default() -> Self {
        Self {
            enabled: false,
            labels: Words::from([("grafana_dashboard".to_owned(), "1".to_owned())]),
            annotations: Words::new(),
        }
    }
}
