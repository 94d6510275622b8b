//! Networks as the operator keeps them, with a real API server and without OVN: addresses that many want at once, words
//! about what cannot be had, deletion in any order, and an operator that comes back and has nothing to write.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kilonova::api::{
    condition, floating_ip::FloatingIP, load_balancer::LoadBalancer, network::Network, port::Port,
    router::Router, security_group::SecurityGroup, subnet::Subnet,
};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::{Seen, Testbed, unique_name, wait_for};

use crate::shared::{OwnTestbed, SOON};

/// How many addresses the subnet has.
const ROOM: usize = 200;

/// Operator and API server alone.
static NETS: OwnTestbed = OwnTestbed::new("nets", 0);

/// A namespace of one test.
struct Place {
    testbed: &'static Testbed,
    client: Client,
    name: String,
}

impl Place {
    async fn new() -> Result<Self> {
        let testbed = NETS.get().await?;
        let client = testbed.client().await?;
        let name = unique_name("n");
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(Self {
            testbed,
            client,
            name,
        })
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    async fn make<K>(&self, name: &str, spec: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()),
            "metadata": {"name": name}, "spec": spec,
        }))?;
        Ok(self
            .api::<K>()
            .create(&PostParams::default(), &object)
            .await?)
    }

    async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        self.api::<K>()
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    async fn ports(&self) -> Result<Vec<Port>> {
        Ok(self.api::<Port>().list(&ListParams::default()).await?.items)
    }

    /// Waits until a port says that it is not given an address, in these words.
    async fn refused(&self, name: &str, words: &str) -> Result<()> {
        wait_for(&format!("port {name} to say {words:?}"), SOON, async || {
            let port = self.api::<Port>().get(name).await?;
            let said = allocated(&port)
                .map(|said| said.message)
                .unwrap_or_default();
            Ok(Seen::when(said.contains(words), said))
        })
        .await
    }
}

fn allocated(port: &Port) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let status = port.status.as_ref()?;
    condition::find(&status.conditions, "Allocated").cloned()
}

fn is_ready(port: &Port) -> bool {
    let status = port.status.as_ref();
    status.is_some_and(|status| condition::holds(&status.conditions, "Ready"))
}

fn addresses(port: &Port) -> Vec<String> {
    let status = port.status.iter();
    let addresses = status.flat_map(|status| &status.addresses);
    addresses.map(|address| address.ip.to_string()).collect()
}

/// Waits until each of the network's ports but one has an address and a MAC of its own, and that one says `words`:
/// its name.
async fn all_but_one(place: &Place, words: &str) -> Result<String> {
    wait_for(
        "200 ports to have an address, and one to say why not",
        SOON,
        async || {
            let ports = place.ports().await?;
            let (have, lack): (Vec<_>, Vec<_>) =
                ports.iter().partition(|port| !addresses(port).is_empty());
            let distinct: BTreeSet<_> = have.iter().flat_map(|port| addresses(port)).collect();
            ensure!(
                distinct.len() == have.len(),
                "an address was given twice: {distinct:?}"
            );
            let macs: BTreeSet<_> = have
                .iter()
                .filter_map(|port| port.status.as_ref()?.mac)
                .collect();
            ensure!(macs.len() == have.len(), "a MAC address was given twice");
            let said = lack
                .first()
                .and_then(|port| allocated(port))
                .map(|said| said.message);
            let said = said.unwrap_or_default();
            Ok(match lack[..] {
                [loser] if said.contains(words) => Seen::Wanted(loser.name_any()),
                _ => Seen::NotYet(format!("{} have one; {said}", have.len())),
            })
        },
    )
    .await
}

#[tokio::test]
async fn many_ports_at_once_get_an_address_each_and_one_too_many_waits() -> Result<()> {
    let place = Place::new().await?;
    place.make::<Network>("front", json!({})).await?;
    let pools = json!([{"start": "10.0.0.20", "end": "10.0.0.219"}]);
    let spec = json!({"network": "front", "cidr": "10.0.0.0/24", "pools": pools});
    place.make::<Subnet>("front-v4", spec).await?;
    let names: Vec<String> = (0..=ROOM).map(|number| format!("p{number}")).collect();
    try_join_all(
        names
            .iter()
            .map(|name| place.make::<Port>(name, json!({"network": "front"}))),
    )
    .await?;
    let words = format!(
        "subnet {}/front-v4 has no free address: all 200 of",
        place.name
    );
    let loser = all_but_one(&place, &words).await?;
    let group = place.api::<SecurityGroup>().get("default").await?;
    ensure!(
        group.spec.rules.len() == 4,
        "egress and the group's own, of both families"
    );

    // A new process has nothing to write: that it works shows in what it says of a port that is new.
    let versions = async || -> Result<BTreeMap<String, Option<String>>> {
        let ports = place.ports().await?;
        let known = ports.iter().filter(|port| port.name_any().starts_with('p'));
        Ok(known
            .map(|port| (port.name_any(), port.resource_version()))
            .collect())
    };
    // What OVN's database says of them is written, too, before the operator dies.
    wait_for("every port with an address to be Ready", SOON, async || {
        let ports = place.ports().await?;
        let waits = ports
            .iter()
            .filter(|port| !addresses(port).is_empty() && !is_ready(port));
        let waits: Vec<_> = waits.map(ResourceExt::name_any).collect();
        Ok(Seen::when(waits.is_empty(), format!("{waits:?}")))
    })
    .await?;
    let before = versions().await?;
    let operator = place.testbed.part("operator")?;
    operator.kill9().await?;
    operator.start().await?;
    place
        .make::<Port>("late", json!({"network": "front"}))
        .await?;
    place.refused("late", &words).await?;
    let after = versions().await?;
    let rewritten: Vec<_> = after
        .iter()
        .filter(|(name, version)| before.get(*name) != Some(*version))
        .collect();
    ensure!(
        rewritten.is_empty(),
        "the operator wrote what was right: {rewritten:?}"
    );

    // What is released goes to those who wait.
    let winner = names
        .iter()
        .find(|name| **name != loser)
        .context("somebody has one")?;
    let freed = addresses(&place.api::<Port>().get(winner).await?);
    place.delete::<Port>("late").await?;
    place.delete::<Port>(winner).await?;
    wait_for(
        "the one that waits to get what was released",
        SOON,
        async || {
            let port = place.api::<Port>().get(&loser).await?;
            Ok(Seen::when(
                addresses(&port) == freed,
                format!("{:?}", allocated(&port)),
            ))
        },
    )
    .await
}

#[tokio::test]
async fn what_cannot_be_had_is_said_with_the_culprit() -> Result<()> {
    let place = Place::new().await?;
    let home = &place.name;
    place.make::<Network>("front", json!({})).await?;
    let pools = json!([{"start": "10.0.0.20", "end": "10.0.0.30"}]);
    let spec = json!({"network": "front", "cidr": "10.0.0.0/24", "pools": pools});
    place.make::<Subnet>("front-v4", spec).await?;
    let wish = |ip: &str| json!({"network": "front", "addresses": [{"ip": ip}]});
    place.make::<Port>("first", wish("10.0.0.25")).await?;
    wait_for("the first port to have its address", SOON, async || {
        let port = place.api::<Port>().get("first").await?;
        Ok(Seen::when(addresses(&port) == ["10.0.0.25"], "not yet"))
    })
    .await?;
    for (name, ip, words) in [
        (
            "taken",
            "10.0.0.25",
            format!("10.0.0.25 of subnet {home}/front-v4 is taken by port {home}/first"),
        ),
        (
            "outside",
            "10.0.0.40",
            format!(
                "10.0.0.40 is outside of the pools of subnet {home}/front-v4, which are 10.0.0.20 to 10.0.0.30"
            ),
        ),
        (
            "nowhere",
            "10.7.0.1",
            format!("10.7.0.1 is in no subnet of network {home}/front"),
        ),
        (
            "gateway",
            "10.0.0.1",
            "10.0.0.1 is the gateway address".to_owned(),
        ),
    ] {
        place.make::<Port>(name, wish(ip)).await?;
        place.refused(name, &words).await?;
    }
    let stranger = Place::new().await?;
    for network in [format!("{home}/front"), format!("{home}/gone")] {
        let name = if network.ends_with("gone") {
            "gone"
        } else {
            "hidden"
        };
        stranger
            .make::<Port>(name, json!({ "network": network }))
            .await?;
        let words = format!("there is no network {network:?} that is shared with this project");
        stranger.refused(name, &words).await?;
    }
    Ok(())
}

#[tokio::test]
async fn deletion_waits_for_users_and_ends_in_any_order() -> Result<()> {
    let place = Place::new().await?;
    place.make::<Network>("front", json!({})).await?;
    let spec = json!({"network": "front", "cidr": "10.0.0.0/24"});
    place.make::<Subnet>("front-v4", spec).await?;
    let provider = json!({"physicalNetwork": unique_name("x")});
    place
        .make::<Network>("out", json!({"provider": provider, "external": true}))
        .await?;
    place
        .make::<Subnet>(
            "out-v4",
            json!({"network": "out", "cidr": "203.0.113.0/24"}),
        )
        .await?;
    let spec =
        json!({"externalGateway": {"network": "out"}, "interfaces": [{"subnet": "front-v4"}]});
    place.make::<Router>("edge", spec).await?;
    place
        .make::<Port>("web", json!({"network": "front"}))
        .await?;
    place
        .make::<FloatingIP>("www", json!({"network": "out", "port": "web"}))
        .await?;
    let spec = json!({
        "subnet": "front-v4",
        "listeners": [{"name": "http", "protocol": "Tcp", "port": 80, "pool": "web"}],
        "pools": [{"name": "web", "members": [{"portName": "web", "port": 80}], "healthCheck": {}}],
    });
    place.make::<LoadBalancer>("lb", spec).await?;
    wait_for("everything to be joined", SOON, async || {
        let floating = place
            .api::<FloatingIP>()
            .get("www")
            .await?
            .status
            .unwrap_or_default();
        let balancer = place
            .api::<LoadBalancer>()
            .get("lb")
            .await?
            .status
            .unwrap_or_default();
        let joined = floating.router.as_deref() == Some("edge") && balancer.monitors.len() == 1;
        Ok(Seen::when(joined, json!([floating, balancer]).to_string()))
    })
    .await?;

    place.delete::<Network>("front").await?;
    wait_for("the network to say who keeps it", SOON, async || {
        let status = place
            .api::<Network>()
            .get("front")
            .await?
            .status
            .unwrap_or_default();
        let ready = condition::find(&status.conditions, "Ready").map(|ready| ready.message.clone());
        let ready = ready.unwrap_or_default();
        let words = format!(
            "in use by load balancer {}/lb and 3 more: delete them first",
            place.name
        );
        Ok(Seen::when(ready.contains(&words), ready))
    })
    .await?;
    // From the inside to the outside, where everything is used by what follows.
    place.delete::<Subnet>("front-v4").await?;
    place.delete::<Subnet>("out-v4").await?;
    place.delete::<Network>("out").await?;
    place.delete::<SecurityGroup>("default").await?;
    place.delete::<Router>("edge").await?;
    place.delete::<Port>("web").await?;
    place.delete::<LoadBalancer>("lb").await?;
    place.delete::<FloatingIP>("www").await?;
    wait_for("nothing to be left", SOON, async || {
        let left = [
            count::<Network>(&place).await?,
            count::<Subnet>(&place).await?,
            count::<Port>(&place).await?,
            count::<Router>(&place).await?,
            count::<SecurityGroup>(&place).await?,
            count::<LoadBalancer>(&place).await?,
            count::<FloatingIP>(&place).await?,
        ];
        Ok(Seen::when(left == [0; 7], format!("{left:?}")))
    })
    .await
}

async fn count<K>(place: &Place) -> Result<usize>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    Ok(place
        .api::<K>()
        .list(&ListParams::default())
        .await?
        .items
        .len())
}
