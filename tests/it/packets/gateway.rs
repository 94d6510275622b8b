//! The node that passes a router's packets dies, and another does it.

use std::time::Instant;

use anyhow::{Context, Result};
use testbed::{Seen, wait_for};

use super::cloud::Tenant;
use crate::shared::SOON;

/// The node on which a router's gateway is, as the router says.
async fn gateway_node(tenant: &Tenant) -> Result<String> {
    let path = "jsonpath={.status.gateway.node}";
    tenant.kubectl(&["get", "router/front", "-o", path]).await
}

#[tokio::test]
async fn another_node_takes_the_gateway_over() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant.network("front", "10.0.0.0/24", None).await?;
    let node = async || gateway_node(&tenant).await;
    let active = wait_for("a node to have the gateway", SOON, async || {
        Ok(match node().await? {
            name if name.is_empty() => Seen::NotYet("none has".to_owned()),
            name => Seen::Wanted(name),
        })
    })
    .await?;
    let other = ["n1", "n2", "n3"].into_iter().find(|name| *name != active);
    let home = other.context("there are three nodes")?;
    tenant.plug("inside", home, &["front"], |_| {}).await?;
    let guest = tenant.guest("inside").await?;
    guest.until("ping -c 1 -W 1 192.0.2.1", SOON).await?;

    let began = Instant::now();
    tenant.testbed.node(&active)?.power_off().await?;
    guest.until_not("ping -c 1 -W 1 192.0.2.1", SOON).await.ok();
    guest.until("ping -c 1 -W 1 192.0.2.1", SOON).await?;
    eprintln!(
        "gateway {active} lost its power; a guest on {home} reached the outside again after {:?}",
        began.elapsed()
    );
    let taken = wait_for(
        "the router to tell of its gateway's new node",
        SOON,
        async || {
            Ok(match node().await? {
                name if name == active || name.is_empty() => Seen::NotYet(name),
                name => Seen::Wanted(name),
            })
        },
    )
    .await;
    tenant.testbed.boot(&active).await?;
    eprintln!("now {}", taken?);
    Ok(())
}
