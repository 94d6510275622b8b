//! A guest that lies about who it is reaches nobody, and no guest reaches what runs the cloud.

use anyhow::{Result, ensure};

use super::cloud::captured;
use crate::shared::SOON;

/// What a capture would show of the lies that have the liar's own hardware address.
const LIES: [&str; 9] = [
    "10.0.0.99",
    "fd00:0:0:1::99",
    "10.0.0.66",
    "fd00:6::",
    "arp reply 10.0.0.1 ",
    "tell 10.0.0.1\n",
    "router-advertisement",
    "neighbour-advertisement fd00:0:0:1::1\n",
    "dhcp",
];

#[tokio::test]
async fn what_a_guest_forges_arrives_nowhere() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant
        .network("front", "10.0.0.0/24", Some("fd00:0:0:1::/64"))
        .await?;
    for (name, node) in [("liar", "n1"), ("near", "n1"), ("far", "n2")] {
        tenant.plug(name, node, &["front"], |_| {}).await?;
    }
    let guests = tenant.guests(&["liar", "near", "far"]).await?;
    let (liar, near, far) = (&guests["liar"], &guests["near"], &guests["far"]);
    for witness in [near, far] {
        let (v4, v6) = (witness.v4(), witness.v6());
        liar.until(&format!("ping -c 1 -W 2 {v4} && ping -c 1 -W 2 {v6}"), SOON)
            .await?;
        let mac = &witness.macs[0];
        let other = "02:00:00:00:0f:0f";
        let lies = [
            format!(
                "echo source={} to={v4} source-mac={other} destination-mac={mac}",
                liar.v4()
            ),
            format!("echo source=10.0.0.99 to={v4} destination-mac={mac}"),
            format!("echo source=fd00:0:0:1::99 to={v6} destination-mac={mac}"),
            format!("arp-reply claim=10.0.0.1 to={v4} destination-mac={mac}"),
            "arp-gratuitous claim=10.0.0.1".to_owned(),
            format!("neighbour-advertisement claim=fd00:0:0:1::1 destination-mac={mac}"),
            "router-advertisement prefix=fd00:6::".to_owned(),
            "dhcp-offer source=10.0.0.66 offer=10.0.0.67".to_owned(),
            format!("dhcpv6-advertise offer=fd00:6::7 destination-mac={mac}"),
        ];
        // All that comes from the liar by either MAC, less what it may say.
        let honest = witness.capture(30, &liar.macs[0]).await?;
        let forged = witness.capture(30, other).await?;
        liar.run(&format!("ping -c 1 -W 5 {v4}")).await?;
        for lie in &lies {
            liar.run(&format!("nettool forge eth0 {lie} count=3 interval-ms=50"))
                .await?;
        }
        let (count, seen) = captured(forged).await?;
        ensure!(count == 0, "{}: {seen}", witness.name);
        let (_, seen) = captured(honest).await?;
        ensure!(
            seen.contains("icmp echo-request"),
            "{}: {seen}",
            witness.name
        );
        for trace in LIES {
            ensure!(!seen.contains(trace), "{}: {trace} in {seen}", witness.name);
        }
        eprintln!(
            "{}: of {} kinds of lies, none arrived",
            witness.name,
            lies.len()
        );
    }
    Ok(())
}

/// Who owns a network may have a router of his own in it, and may take that back.
#[tokio::test]
async fn a_guest_is_a_router_where_its_port_has_no_security() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant.network("front", "10.0.0.0/24", None).await?;
    let port = |secure: bool| {
        format!(
            "kind: Port\nmetadata: {{name: way}}\nspec: {{network: front, portSecurity: {secure}}}"
        )
    };
    tenant.apply(&port(false)).await?;
    tenant
        .plug("router", "n1", &["front"], |spec| {
            spec.networks[0].network = None;
            spec.networks[0].port = Some("way".to_owned());
        })
        .await?;
    tenant.plug("near", "n1", &["front"], |_| {}).await?;
    let guests = tenant.guests(&["router", "near"]).await?;
    let (router, near) = (&guests["router"], &guests["near"]);
    let says = "nettool forge eth0 router-advertisement prefix=fd00:6:: count=3 interval-ms=50";
    let heard = async || {
        let capture = near.capture(5, "router-advertisement").await?;
        router.run(says).await?;
        anyhow::Ok(captured(capture).await?.0)
    };
    ensure!(heard().await? == 3, "its port has no security");
    tenant.apply(&port(true)).await?;
    tenant.ready("port/way").await?;
    let began = std::time::Instant::now();
    while heard().await? > 0 {
        ensure!(began.elapsed() < SOON, "its port has security again");
    }
    tenant.ready("server/router").await?;
    Ok(())
}

#[tokio::test]
async fn what_runs_the_cloud_is_out_of_reach() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant.network("front", "10.0.0.0/24", None).await?;
    tenant.plug("inside", "n1", &["front"], |_| {}).await?;
    let guest = tenant.guest("inside").await?;
    guest.until("ping -c 1 -W 2 192.0.2.1", SOON).await?;
    let testbed = tenant.testbed;
    let host = testbed.host_address();
    let mut targets = vec![
        ("the API server", host.to_string(), 6443),
        ("OVN's northbound database", host.to_string(), 6641),
        ("OVN's southbound database", host.to_string(), 6642),
    ];
    for node in testbed.nodes()? {
        for address in [node.address(), node.underlay_address()] {
            targets.push(("kubelet", address.to_string(), 10250));
            targets.push(("libvirtd", address.to_string(), 16509));
            targets.push(("the agent", address.to_string(), 8081));
        }
        ensure!(
            !guest
                .try_run(&format!("ping -c 1 -W 2 {}", node.underlay_address()))
                .await?,
            "the underlay answers"
        );
    }
    for (what, address, port) in targets {
        let reached = guest
            .try_run(&format!("nettool tcp-get {address} {port} timeout-ms=1500"))
            .await?;
        ensure!(!reached, "{what} at {address}:{port} answers a guest");
    }
    Ok(())
}
