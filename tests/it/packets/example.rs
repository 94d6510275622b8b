//! `examples/two-tier.yaml`, word for word as the README has it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use kilonova::api::server::Server;
use kube::api::Api;
use serde_json::Value;
use testbed::{Seen, examples, wait_for};

use crate::shared::{GuestOnNode, SOON};

const PROJECT: &str = "shop";

#[tokio::test]
async fn the_shop_of_two_tiers_is_as_it_says() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    let testbed = tenant.testbed;
    let cluster = testbed.cluster().await?;
    let quickstart = examples::quickstart(testbed).await?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&quickstart)?;
    for object in objects.iter().filter(|object| object["kind"] != "Server") {
        cluster.apply(&object.to_string()).await?;
    }
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name);
        path.display().to_string()
    };
    let (outside, shop) = (file("external-network.yaml"), file("two-tier.yaml"));
    cluster
        .kubectl(&["apply", "-f", &outside, "-f", &shop], "")
        .await?;
    let ready = "wait -n shop server --all --for=condition=Ready --timeout=5m";
    let ready: Vec<&str> = ready.split(' ').collect();
    cluster.kubectl(&ready, "").await?;
    let address = "get -n shop floatingip/www -o jsonpath={.status.address.ip}";
    let address: Vec<&str> = address.split(' ').collect();
    let address = cluster.kubectl(&address, "").await?;

    // What the database sells comes out by way of the web servers, and by both of them.
    let get = async |path: &str| {
        let url = format!("http://{address}{path}");
        let words = ["curl", "--silent", "--fail", "--max-time", "5", &url];
        let said = testbed.outside().exec(words).await;
        said.unwrap_or_else(|error| format!("{error:#}"))
            .trim()
            .to_owned()
    };
    wait_for(
        "both web servers to answer with the database's word",
        SOON,
        async || {
            let mut names = BTreeSet::new();
            for _ in 0..12 {
                names.insert(get("/").await);
            }
            let stock = get("/stock").await;
            let both = ["web-1", "web-2"].iter().all(|name| names.contains(*name));
            Ok(Seen::when(
                both && stock == "ten shoes",
                format!("{names:?} {stock:?}"),
            ))
        },
    )
    .await?;

    // The database hears nobody but them, and has no way out.
    let servers: Api<Server> = Api::namespaced(testbed.client().await?, PROJECT);
    let database = GuestOnNode::of(testbed, &servers.get("database").await?)?;
    let out = database.exec("ping -c 1 -W 2 192.0.2.1", SOON).await?;
    ensure!(out.code != 0, "the database reaches the outside: {out:?}");
    let web = GuestOnNode::of(testbed, &servers.get("web-1").await?)?;
    let asked = web.exec("ping -c 1 -W 2 10.1.0.5", SOON).await?;
    ensure!(
        asked.code != 0,
        "the database answers what its group does not name: {asked:?}"
    );

    cluster
        .kubectl(&["delete", "-f", &shop], "")
        .await
        .map(drop)
}
