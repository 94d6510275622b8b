//! The custom resource definitions of every kind, as the API server takes them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{
    flavor::Flavor, floating_ip::FloatingIP, guest::Guest, hypervisor::Hypervisor, image::Image,
    key_pair::KeyPair, load_balancer::LoadBalancer, network::Network, port::Port, router::Router,
    security_group::SecurityGroup, server::Server, server_action::ServerAction, subnet::Subnet,
};

/// The definitions of every kind, in the order in which a reader meets them.
///
/// # Errors
/// Only if a derived schema does not survive a round trip through JSON, which a test rules out.
pub fn all() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [
        Flavor::crd(),
        Image::crd(),
        KeyPair::crd(),
        Server::crd(),
        ServerAction::crd(),
        Network::crd(),
        Subnet::crd(),
        Port::crd(),
        Router::crd(),
        SecurityGroup::crd(),
        FloatingIP::crd(),
        LoadBalancer::crd(),
        Hypervisor::crd(),
        Guest::crd(),
    ]
    .into_iter()
    .map(finish)
    .collect()
}

/// What the derive cannot say: integer formats that Kubernetes knows, and a status that reads as "not looked at
/// yet" before a controller has written one (the convention of kstatus, which Helm, Flux and Argo follow).
fn finish(crd: CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    polish(&mut value);
    if let Some(Value::Array(versions)) = value.pointer_mut("/spec/versions") {
        for version in versions {
            if let Some(status) = version.pointer_mut("/schema/openAPIV3Schema/properties/status") {
                status["default"] = json!({ "observedGeneration": -1 });
            }
        }
    }
    serde_json::from_value(value)
}

/// Kubernetes knows the formats `int32` and `int64` only, and warns of anything else; the bounds say the rest.
/// Descriptions come from source code, where lines break at column 100; `kubectl explain` breaks them itself.
fn polish(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|format| format.starts_with("uint"))
            {
                map.remove("format");
            }
            if let Some(Value::String(description)) = map.get_mut("description") {
                *description = unwrapped(description);
            }
            // A nullable field would keep its null instead of taking its default; kube says nullable of every size
            // that may be left out.
            if map.contains_key("default") {
                map.remove("nullable");
            }
            map.values_mut().for_each(polish);
        }
        Value::Array(items) => items.iter_mut().for_each(polish),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn unwrapped(text: &str) -> String {
    let paragraphs = text.split("\n\n");
    paragraphs
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}
