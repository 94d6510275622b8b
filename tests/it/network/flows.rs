//! What a node's switch does with frames: for what ovn-trace does not know.

use anyhow::{Context, Result};
use kilonova::api::address::Mac;

use super::central::Central;
use super::cloud::{cidr, shop};
use super::traces::wanted;

/// A frame of the client's, and whether it gets past port security.
fn frames() -> Vec<(String, bool)> {
    let (own, to) = (Mac::of("client"), Mac::of("web-1"));
    let ethernet = format!("in_port=client,dl_src={own},dl_dst={to}");
    let v4 = |from: &str| format!("{ethernet},ip,nw_src={from},nw_dst=10.0.1.11,nw_ttl=64");
    let v6 = |from: &str| format!("{ethernet},ipv6,ipv6_src={from},ipv6_dst=fd00:1::11,nw_ttl=64");
    let arp = |from: &str| {
        format!("{ethernet},arp,arp_op=1,arp_sha={own},arp_spa={from},arp_tpa=10.0.1.11")
    };
    vec![
        (v4("10.0.1.13"), true),
        (v4("10.0.1.14"), false),
        // In the prefix: the first, one within, the last; and beside it.
        (v4("10.9.0.0"), true),
        (v4("10.9.0.77"), true),
        (v4("10.9.0.255"), true),
        (v4("10.9.1.0"), false),
        (v4("10.8.255.255"), false),
        (arp("10.9.0.77"), true),
        (arp("10.9.1.0"), false),
        (v6("fd00:9::7"), true),
        (v6("fd00:9:0:1::7"), false),
        (
            v4("10.9.0.77").replace(&own.to_string(), "02:00:00:00:00:99"),
            false,
        ),
    ]
}

/// ovn-trace of 23.03 knows single addresses only, and says that all others of a prefix are dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_may_send_from_every_address_of_an_allowed_prefix() -> Result<()> {
    let mut topology = shop();
    let web = topology.switches.get_mut("web").context("it is there")?;
    let client = web.ports.get_mut("client").context("it is there")?;
    client.pairs.push((cidr("fd00:9::/64"), None));
    let (mut central, realiser) = wanted(Central::with_northd(&[]).await?, topology).await?;
    central.node("node1", &["client", "web-1"]).await?;
    for (frame, passes) in frames() {
        let action = central.first_action(&frame)?;
        assert_eq!(action != "drop", passes, "{frame}: {action}");
    }
    // Whoever may send from anywhere may do so, by his own hardware address.
    let mut topology = shop();
    let web = topology.switches.get_mut("web").context("it is there")?;
    let client = web.ports.get_mut("client").context("it is there")?;
    client.pairs = vec![(cidr("0.0.0.0/0"), None), (cidr("::/0"), None)];
    realiser.want(std::sync::Arc::new(topology));
    realiser.settled().await;
    central.nbctl(&["--timeout=60", "--wait=hv", "sync"])?;
    for (frame, _) in frames() {
        let own = frame.contains(&format!("dl_src={}", Mac::of("client")));
        let action = central.first_action(&frame)?;
        assert_eq!(action != "drop", own, "{frame}: {action}");
    }
    Ok(())
}
