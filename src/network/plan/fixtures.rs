//! Objects of networks, for the tests of the plans beside this. Must never be part of a build that runs.
//!
//! Each object is what a user would write, as JSON; its age is the order in which it was made.

#![allow(clippy::needless_pass_by_value, reason = "tests write specs in place")]

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{
    floating_ip::FloatingIP, hypervisor::Hypervisor, load_balancer::LoadBalancer, network::Network,
    port::Port, router::Router, security_group::SecurityGroup, server::Server, subnet::Subnet,
};

use super::{
    cloud::{Cloud, Shelf},
    keep::IN_USE,
    ledger::Given,
    sightings::Sightings,
    survey::{Survey, survey},
    topology::Uid,
};

/// A cloud in the making.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) networks: Vec<Arc<Network>>,
    pub(crate) subnets: Vec<Arc<Subnet>>,
    pub(crate) ports: Vec<Arc<Port>>,
    pub(crate) routers: Vec<Arc<Router>>,
    pub(crate) groups: Vec<Arc<SecurityGroup>>,
    pub(crate) floating: Vec<Arc<FloatingIP>>,
    pub(crate) balancers: Vec<Arc<LoadBalancer>>,
    pub(crate) servers: Vec<Arc<Server>>,
    pub(crate) hypervisors: Vec<Arc<Hypervisor>>,
    pub(crate) sightings: Option<Arc<Sightings>>,
    pub(crate) given: BTreeMap<Uid, Given>,
    made: i64,
}

/// The UID of an object: its kind's first letters and its name.
pub(crate) fn id(kind: &str, full: &str) -> String {
    format!("{kind}:{full}")
}

impl Draft {
    /// An object `project/name`, younger than all before.
    fn object<K: Resource<DynamicType = ()> + DeserializeOwned>(
        &mut self,
        full: &str,
        spec: &Value,
        status: &Value,
    ) -> Arc<K> {
        let (home, name) = full.split_once('/').unwrap_or(("", full));
        let kind = K::kind(&());
        let mut object: K = serde_json::from_value(json!({
            "apiVersion": "kilonova.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": spec, "status": status,
        }))
        .unwrap();
        self.made += 1;
        let meta = object.meta_mut();
        meta.namespace = (!home.is_empty()).then(|| home.to_owned());
        meta.uid = Some(id(&kind, full));
        meta.generation = Some(1);
        meta.resource_version = Some("1".to_owned());
        meta.finalizers = Some(vec![IN_USE.to_owned()]);
        meta.creation_timestamp = Some(Time(Timestamp::from_second(self.made).unwrap()));
        Arc::new(object)
    }

    pub(crate) fn network(&mut self, full: &str, spec: Value) -> &mut Self {
        let object = self.object(full, &spec, &json!({}));
        self.networks.push(object);
        self
    }

    pub(crate) fn subnet(
        &mut self,
        full: &str,
        network: &str,
        cidr: &str,
        spec: Value,
    ) -> &mut Self {
        let spec = with(json!({"network": network, "cidr": cidr}), spec);
        let object = self.object(full, &spec, &json!({}));
        self.subnets.push(object);
        self
    }

    /// The network `name` with the subnet `name-v4`.
    pub(crate) fn plain(&mut self, full: &str, cidr: &str) -> &mut Self {
        let (_, name) = full.split_once('/').unwrap();
        self.network(full, json!({}));
        self.subnet(&format!("{full}-v4"), name, cidr, json!({}))
    }

    /// The external network `infra/internet`, 203.0.113.0/24, shared with everybody, and a node that reaches it.
    pub(crate) fn internet(&mut self) -> &mut Self {
        let provider = json!({"physicalNetwork": "public"});
        self.network(
            "infra/internet",
            json!({"provider": provider, "external": true, "sharedWith": ["*"]}),
        );
        self.subnet("infra/internet-v4", "internet", "203.0.113.0/24", json!({}));
        self.node("n1", &["public"], true)
    }

    pub(crate) fn node(&mut self, name: &str, physical: &[&str], ready: bool) -> &mut Self {
        let time = "2026-01-01T00:00:00Z";
        let status = json!({
            "network": {"chassis": name, "physicalNetworks": physical},
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" },
                "reason": "A", "message": "", "lastTransitionTime": time}],
        });
        let object = self.object(name, &json!({}), &status);
        self.hypervisors.push(object);
        self
    }

    /// A port with what its status claims.
    pub(crate) fn port(
        &mut self,
        full: &str,
        network: &str,
        spec: Value,
        status: Value,
    ) -> &mut Self {
        let spec = with(json!({"network": network}), spec);
        let object = self.object(full, &spec, &status);
        self.ports.push(object);
        self
    }

    /// A port with this address in the subnet `network-v4`, on a network of its project.
    pub(crate) fn plugged(&mut self, full: &str, network: &str, ip: &str) -> &mut Self {
        let (home, _) = full.split_once('/').unwrap();
        let mac = crate::api::address::Mac::of(full);
        let status = json!({
            "mac": mac, "network": id("Network", &format!("{home}/{network}")),
            "addresses": [{"subnet": format!("{network}-v4"), "ip": ip}],
        });
        self.port(full, network, json!({}), status)
    }

    pub(crate) fn router(&mut self, full: &str, spec: Value, status: Value) -> &mut Self {
        let object = self.object(full, &spec, &status);
        self.routers.push(object);
        self
    }

    pub(crate) fn group(&mut self, full: &str, rules: Value) -> &mut Self {
        let object = self.object(full, &json!({ "rules": rules }), &json!({}));
        self.groups.push(object);
        self
    }

    pub(crate) fn floating(&mut self, full: &str, spec: Value, ip: &str) -> &mut Self {
        let status = match ip {
            "" => json!({}),
            ip => json!({"address": {"subnet": "internet-v4", "ip": ip}}),
        };
        let spec = with(json!({"network": "infra/internet"}), spec);
        let object = self.object(full, &spec, &status);
        self.floating.push(object);
        self
    }

    pub(crate) fn balancer(&mut self, full: &str, spec: Value, status: Value) -> &mut Self {
        let object = self.object(full, &spec, &status);
        self.balancers.push(object);
        self
    }

    pub(crate) fn server(&mut self, full: &str, networks: Value, node: Option<&str>) -> &mut Self {
        let spec = json!({"flavor": "a", "image": "a", "networks": networks});
        let object = self.object(full, &spec, &json!({ "node": node }));
        self.servers.push(object);
        self
    }

    pub(crate) fn cloud(&self) -> Cloud {
        Cloud {
            networks: Shelf::new(self.networks.clone()),
            subnets: Shelf::new(self.subnets.clone()),
            ports: Shelf::new(self.ports.clone()),
            routers: Shelf::new(self.routers.clone()),
            groups: Shelf::new(self.groups.clone()),
            floating: Shelf::new(self.floating.clone()),
            balancers: Shelf::new(self.balancers.clone()),
            servers: Shelf::new(self.servers.clone()),
            hypervisors: Shelf::new(self.hypervisors.clone()),
            given: self.given.clone(),
            sightings: self.sightings.clone(),
            tenant_mtu: 1442,
        }
    }

    pub(crate) fn survey(&self) -> Survey {
        survey(&self.cloud())
    }
}

/// The same object on its way out.
pub(crate) fn leaving<K: Resource + Clone>(object: &mut Arc<K>) {
    Arc::make_mut(object).meta_mut().deletion_timestamp =
        Some(Time(Timestamp::from_second(1000).unwrap()));
}

/// One object with the fields of another.
fn with(one: Value, other: Value) -> Value {
    let (Value::Object(mut one), Value::Object(other)) = (one, other) else {
        panic!("specs are objects");
    };
    one.extend(other);
    Value::Object(one)
}
