//! How long it takes to look at all networks once, which is done whenever anything of them changed: `cargo bench --bench
//! networks`. 6,000 ports in 60 projects, each with a router, a group and a floating IP.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kilonova::network::plan::{
    cloud::{Cloud, Shelf},
    survey::survey,
};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Ports, and projects that they are spread over.
const PORTS: usize = 6_000;
const PROJECTS: usize = 60;

/// How often it is measured.
const TIMES: u32 = 20;

/// What the project asks of itself.
const BAR: Duration = Duration::from_millis(20);

fn main() {
    let objects = Objects::new();
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        let survey = survey(&objects.cloud());
        took.push(began.elapsed());
        let ports = survey
            .topology
            .switches
            .values()
            .map(|switch| switch.ports.len());
        assert_eq!(ports.sum::<usize>(), PORTS, "every port is made");
        assert!(
            survey
                .topology
                .routers
                .values()
                .all(|router| !router.floating.is_empty())
        );
    }
    took.sort();
    let median = took[took.len() / 2];
    println!(
        "{PORTS} ports: median {median:?}, slowest {:?}; asked for: {BAR:?}",
        took[took.len() - 1]
    );
}

#[derive(Default)]
struct Objects {
    networks: Vec<Arc<kilonova::api::network::Network>>,
    subnets: Vec<Arc<kilonova::api::subnet::Subnet>>,
    ports: Vec<Arc<kilonova::api::port::Port>>,
    routers: Vec<Arc<kilonova::api::router::Router>>,
    groups: Vec<Arc<kilonova::api::security_group::SecurityGroup>>,
    floating: Vec<Arc<kilonova::api::floating_ip::FloatingIP>>,
}

fn object<K: Resource<DynamicType = ()> + DeserializeOwned>(
    home: &str,
    name: &str,
    spec: &Value,
    status: &Value,
) -> Arc<K> {
    let kind = K::kind(&());
    let made = serde_json::from_value(json!({
        "apiVersion": "kilonova.dev/v1alpha1", "kind": kind, "spec": spec, "status": status,
        "metadata": {"namespace": home, "name": name, "uid": format!("{kind}:{home}/{name}")},
    }));
    match made {
        Ok(made) => Arc::new(made),
        Err(error) => unreachable!("{kind} {home}/{name}: {error}"),
    }
}

impl Objects {
    fn new() -> Self {
        let mut objects = Self::default();
        let spec =
            json!({"external": true, "provider": {"physicalNetwork": "a"}, "sharedWith": ["*"]});
        let none = json!({});
        objects
            .networks
            .push(object("infra", "internet", &spec, &none));
        let spec = json!({"network": "internet", "cidr": "198.18.0.0/16"});
        objects
            .subnets
            .push(object("infra", "internet-v4", &spec, &none));
        for project in 0..PROJECTS {
            objects.project(project);
        }
        objects
    }

    fn project(&mut self, number: usize) {
        let (home, none) = (format!("p{number}"), json!({}));
        self.networks.push(object(&home, "front", &none, &none));
        let spec = json!({"network": "front", "cidr": "10.0.0.0/16"});
        self.subnets.push(object(&home, "front-v4", &spec, &none));
        let rule = json!({"direction": "Ingress", "group": "default"});
        self.groups
            .push(object(&home, "default", &json!({ "rules": [rule] }), &none));
        let spec = json!({"interfaces": [{"subnet": "front-v4"}], "externalGateway": {"network": "infra/internet"}});
        let gateway = json!({
            "network": "Network:infra/internet",
            "addresses": [{"subnet": "internet-v4", "ip": format!("198.18.1.{number}")}],
        });
        let status =
            json!({"interfaces": [{"subnet": "front-v4", "ip": "10.0.0.1"}], "gateway": gateway});
        self.routers.push(object(&home, "edge", &spec, &status));
        for port in 0..PORTS / PROJECTS {
            let status = json!({
                "mac": format!("02:00:00:00:{number:02x}:{port:02x}"),
                "network": format!("Network:{home}/front"),
                "addresses": [{"subnet": "front-v4", "ip": format!("10.0.1.{port}")}],
            });
            let name = format!("port-{port}");
            self.ports
                .push(object(&home, &name, &json!({"network": "front"}), &status));
        }
        let spec = json!({"network": "infra/internet", "port": "port-1"});
        let status =
            json!({"address": {"subnet": "internet-v4", "ip": format!("198.18.2.{number}")}});
        self.floating.push(object(&home, "www", &spec, &status));
    }

    fn cloud(&self) -> Cloud {
        Cloud {
            networks: Shelf::new(self.networks.clone()),
            subnets: Shelf::new(self.subnets.clone()),
            ports: Shelf::new(self.ports.clone()),
            routers: Shelf::new(self.routers.clone()),
            groups: Shelf::new(self.groups.clone()),
            floating: Shelf::new(self.floating.clone()),
            sightings: None,
            tenant_mtu: 1442,
            ..Cloud::default()
        }
    }
}
