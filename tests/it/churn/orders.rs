//! One small cloud of all kinds, each joined to the others, deleted in one order and another.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testbed::{Seen, Testbed, wait_for};

use crate::shared::SOON;

use super::projects::{Made, Projects};
use super::rows::Rows;
use super::specs::SLOTS;
use super::{ALONE, TESTBED, delete, empty, gone, rest};

/// The tables of the northbound database that a cloud of all kinds has rows in.
const TABLES: [&str; 15] = [
    "ACL",
    "Address_Set",
    "DHCP_Options",
    "DNS",
    "Gateway_Chassis",
    "Load_Balancer",
    "Load_Balancer_Health_Check",
    "Logical_Router",
    "Logical_Router_Port",
    "Logical_Router_Static_Route",
    "Logical_Switch",
    "Logical_Switch_Port",
    "NAT",
    "Port_Group",
    "QoS",
];

/// What asks for the deletion of everything.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// What others stand on first.
    Forward,
    /// What stands on others first.
    Backward,
    /// Everything at the same time.
    AtOnce,
    /// As `kubectl delete --all` of each kind, all kinds at the same time.
    ByKinds,
    /// The namespace.
    WithProject,
}

#[tokio::test]
async fn a_cloud_of_all_kinds_goes_in_every_order_and_leaves_nothing() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = TESTBED.get().await?;
    let before = empty(testbed).await?;
    let projects = Projects::new(testbed, 1).await?;
    let cloud = cloud(&projects.names[0]);
    for order in [
        Order::Forward,
        Order::Backward,
        Order::AtOnce,
        Order::ByKinds,
        Order::WithProject,
    ] {
        let began = Instant::now();
        make(&projects, &cloud, &before).await?;
        let real = began.elapsed().as_secs_f64();
        let (began, said) = (Instant::now(), log(testbed)?.len());
        let ended = async {
            ask(&projects, &cloud, order).await?;
            gone(&projects, &before).await
        };
        ended.await.with_context(|| format!("{order:?}"))?;
        let gone = began.elapsed().as_secs_f64();
        eprintln!("churn: {order:?}: real after {real:.1} s, gone {gone:.1} s later");
        quiet(&log(testbed)?[said..], &projects.names[0])?;
    }
    Ok(())
}

/// Asks for the deletion of everything.
async fn ask(projects: &Projects, cloud: &[Wanted], order: Order) -> Result<()> {
    let project = &projects.names[0];
    match order {
        Order::Forward => {
            for (kind, name, _) in cloud {
                projects.delete(project, kind, name).await?;
            }
        }
        Order::Backward => {
            for (kind, name, _) in cloud.iter().rev() {
                projects.delete(project, kind, name).await?;
            }
        }
        Order::AtOnce => {
            let objects = projects.objects().await?;
            try_join_all(objects.iter().map(|object| delete(projects, object))).await?;
        }
        Order::ByKinds => {
            let kinds = SLOTS.map(|(kind, _)| projects.delete_all(project, kind));
            try_join_all(kinds).await?;
        }
        Order::WithProject => projects.end().await?,
    }
    Ok(())
}

fn log(testbed: &Testbed) -> Result<String> {
    let operator = testbed.part("operator")?;
    Ok(std::fs::read_to_string(operator.log())?)
}

/// Nothing that goes as it should is worth a warning.
fn quiet(log: &str, project: &str) -> Result<()> {
    let is_loud = |line: &&str| {
        let grave = line.contains("\"WARN\"") || line.contains("\"ERROR\"");
        grave && line.contains(project)
    };
    let loud: Vec<&str> = log.lines().filter(is_loud).collect();
    ensure!(loud.is_empty(), "the operator complains: {loud:#?}");
    Ok(())
}

/// Makes the cloud, and waits until all of it is real.
async fn make(projects: &Projects, cloud: &[Wanted], before: &Rows) -> Result<()> {
    let project = &projects.names[0];
    for (kind, name, spec) in cloud {
        let made = projects.make(project, kind, name, spec).await?;
        ensure!(made == Made::Yes, "there is a {kind} {name}");
    }
    wait_for("the cloud to be real", SOON * 2, async || {
        let server = projects.of(project, "Server").get("server").await?;
        let rows = Rows::look(projects.testbed).await?;
        let has = |table: &&&str| rows.northbound.contains_key(**table);
        let lacking: Vec<_> = TABLES.iter().filter(|table| !has(table)).collect();
        let state = &server.data["status"]["state"];
        let is_real = lacking.is_empty() && state == "ACTIVE";
        let otherwise = format!("no {lacking:?}; {}", server.data["status"]);
        Ok(Seen::when(is_real, otherwise))
    })
    .await?;
    rest(projects, before).await.map(drop)
}

/// A kind, a name and a spec.
type Wanted = (&'static str, &'static str, Value);

/// All kinds, in the order in which one stands on the other.
fn cloud(flavor: &str) -> Vec<Wanted> {
    let provider = json!({"physicalNetwork": "public"});
    let rule = |group| json!({"direction": "Ingress", "group": group});
    let route = json!({"to": "10.9.0.0/16", "via": "10.0.0.9"});
    let router = json!({
        "externalGateway": {"network": "ext"}, "routes": [route],
        "interfaces": [{"subnet": "front-v4"}, {"subnet": "front-v6"}],
    });
    let limit = json!({"egress": {"maxKbps": 1000}});
    let plain = json!({
        "network": "front", "securityGroups": ["web", "db"], "qos": limit,
        "allowedAddressPairs": [{"ip": "10.0.0.200"}],
    });
    let networks = json!([{"network": "front"}, {"port": "brought"}]);
    let server = json!({"flavor": flavor, "image": "tiny", "networks": networks});
    let members = json!([{"server": "server", "port": 80}, {"portName": "plain", "port": 80}]);
    let balancer = json!({
        "subnet": "front-v4",
        "listeners": [{"name": "http", "protocol": "Tcp", "port": 80, "pool": "web"}],
        "pools": [{"name": "web", "healthCheck": {}, "members": members}],
    });
    let brought = json!({"network": "front", "addresses": [{"ip": "10.0.0.20"}]});
    let subnet = |network, cidr| json!({"network": network, "cidr": cidr});
    let external = json!({"provider": provider, "external": true});
    vec![
        ("Network", "ext", external),
        ("Subnet", "ext-v4", subnet("ext", "203.0.113.0/24")),
        ("Network", "front", json!({})),
        ("Subnet", "front-v4", subnet("front", "10.0.0.0/24")),
        ("Subnet", "front-v6", subnet("front", "fd00::/64")),
        (
            "SecurityGroup",
            "web",
            json!({"rules": [rule("web"), rule("db")]}),
        ),
        ("SecurityGroup", "db", json!({"rules": [rule("web")]})),
        ("Router", "edge", router),
        ("Port", "plain", plain),
        ("Port", "brought", brought),
        ("Server", "server", server),
        ("LoadBalancer", "shop", balancer),
        (
            "FloatingIP",
            "to-server",
            json!({"network": "ext", "server": "server"}),
        ),
        (
            "FloatingIP",
            "to-shop",
            json!({"network": "ext", "loadBalancer": "shop"}),
        ),
        ("FloatingIP", "free", json!({"network": "ext"})),
    ]
}
