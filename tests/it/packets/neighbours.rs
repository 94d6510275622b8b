//! Guests of one network on two nodes, and those of another with the very same addresses.

use anyhow::{Result, ensure};

use super::cloud::{Guest, Tenant, captured};
use crate::shared::SOON;

/// What geneve over IPv4 leaves of an underlay of 1500 bytes.
const MTU: usize = 1442;
const FRONT: &str = "10.0.0.0/24";
const FRONT_V6: &str = "fd00:0:0:1::/64";

async fn pair(tenant: &Tenant) -> Result<(Guest, Guest)> {
    tenant.network("front", FRONT, Some(FRONT_V6)).await?;
    for (name, node, address) in [("one", "n1", "10.0.0.11"), ("two", "n2", "10.0.0.12")] {
        tenant
            .plug(name, node, &["front"], |spec| {
                spec.networks[0].addresses = vec![address.parse().expect("an address")];
            })
            .await?;
    }
    let (one, two) = tokio::try_join!(tenant.guest("one"), tenant.guest("two"))?;
    Ok((one, two))
}

#[tokio::test]
async fn guests_on_two_nodes_reach_each_other_and_nobody_of_another_project() -> Result<()> {
    let (_turn, ours) = super::turn().await?;
    let (one, two) = pair(&ours).await?;
    for address in [two.v4(), two.v6()] {
        one.until(&format!("ping -c 3 -W 2 {address}"), SOON)
            .await?;
        let whole = MTU - if address.is_ipv4() { 28 } else { 48 };
        one.run(&format!("ping -c 2 -W 5 -s {whole} {address}"))
            .await?;
        let server = two
            .serve(&format!("nettool tcp-serve {address} 8080"))
            .await?;
        let bulk = one
            .run(&format!(
                "nettool tcp-bulk {address} 8080 2000000 timeout-ms=50000"
            ))
            .await?;
        // Less the headers of IP and TCP, and TCP's time stamps.
        let segment = MTU - if address.is_ipv4() { 52 } else { 72 };
        ensure!(
            bulk.contains(&format!("mss={segment} ")) && bulk.contains("intact"),
            "{bulk}"
        );
        eprintln!("{address}: {}", bulk.trim());
        server.stop().await?;
    }
    // By the name of its server.
    let found = one.run("nettool resolve two 10.0.0.1").await?;
    ensure!(found.contains(&two.v4().to_string()), "{found}");

    // Another project has the same network, and the same addresses, one of them on the same node.
    let theirs = Tenant::on(ours.testbed).await?;
    let (spy, victim) = pair(&theirs).await?;
    assert_eq!((spy.v4(), victim.v4()), (one.v4(), two.v4()));
    let (from_one, from_two) = (&one.macs[0], &two.macs[0]);
    let captures = [
        spy.capture(30, from_two).await?,
        spy.capture(30, from_one).await?,
        victim.capture(30, from_one).await?,
    ];
    // That a capture sees what does arrive.
    let witness = two.capture(30, from_one).await?;
    let broadcast =
        "nettool forge eth0 echo to=10.0.0.255 destination-mac=ff:ff:ff:ff:ff:ff count=5";
    one.run(&format!(
        "ping -c 10 10.0.0.12; {broadcast} source=10.0.0.11; ping -c 1 -W 1 10.0.0.77; true"
    ))
    .await?;
    two.run(&format!("{broadcast} source=10.0.0.12; true"))
        .await?;
    for capture in captures {
        let (count, seen) = captured(capture).await?;
        ensure!(count == 0, "crossed: {seen}");
    }
    let (count, seen) = captured(witness).await?;
    ensure!(count >= 15, "a neighbour saw only {seen}");
    eprintln!("{count} frames of a neighbour arrived, and none of another project's");
    // And both still reach their own.
    spy.run("ping -c 2 -W 5 10.0.0.12").await?;
    Ok(())
}

#[tokio::test]
async fn a_nic_is_plugged_and_unplugged_while_the_guest_runs() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    let (one, two) = pair(&tenant).await?;
    tenant
        .apply(
            "kind: Network\nmetadata: {name: back}\nspec: {}\n---\nkind: Subnet\nmetadata: {name: back-v4}\nspec: {network: back, cidr: 10.1.0.0/24, gateway: None}",
        )
        .await?;
    for name in ["one", "two"] {
        let both = serde_json::json!({"networks": [{"network": "front"}, {"network": "back"}]});
        tenant.change(name, both).await?;
    }
    let address = two
        .until(
            "ip -4 addr show dev eth1 | grep -o '10.1.0[.0-9]*'",
            SOON * 2,
        )
        .await?
        .1;
    one.until("ip -4 addr show dev eth1 | grep 10.1.0.", SOON * 2)
        .await?;
    one.until(
        &format!(
            "ping -c 1 -W 2 {}",
            address.lines().next().unwrap_or_default()
        ),
        SOON,
    )
    .await?;
    tenant.ready("server/one").await?;
    tenant
        .change(
            "one",
            serde_json::json!({"networks": [{"network": "front"}]}),
        )
        .await?;
    one.until("! [ -e /sys/class/net/eth1 ]", SOON).await?;
    tenant
        .kubectl(&["wait", "port/one-back", "--for=delete", "--timeout=60s"])
        .await?;
    one.run("ping -c 1 -W 5 10.0.0.12").await?;
    Ok(())
}
