//! How guests come to their IPv6 addresses and name servers, other than by making them of the prefix, which all other tests
//! have them do.

use anyhow::{Result, ensure};

use super::cloud::on;
use crate::shared::SOON;

/// A network whose guests are told all by DHCPv6, one whose guests are told all but their address, and a router of both,
/// without which nobody says so.
const NETWORKS: &str = "
kind: Network
metadata: {name: told}
spec: {}
---
kind: Subnet
metadata: {name: told-v6}
spec: {network: told, cidr: 'fd00:0:0:2::/64', ipv6Mode: DhcpStateful, dns: ['fd00:53::2']}
---
kind: Network
metadata: {name: half}
spec: {}
---
kind: Subnet
metadata: {name: half-v6}
spec: {network: half, cidr: 'fd00:0:0:3::/64', ipv6Mode: DhcpStateless, dns: ['fd00:53::3']}
---
kind: Router
metadata: {name: between}
spec: {interfaces: [{subnet: told-v6}, {subnet: half-v6}]}";

#[tokio::test]
async fn guests_are_told_their_ipv6_addresses_and_name_servers() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant.apply(NETWORKS).await?;
    tenant.ready("router/between").await?;
    for (name, node) in [("one", "n1"), ("two", "n2")] {
        let both = |spec: &mut kilonova::api::server::ServerSpec| {
            spec.networks = vec![on("told"), on("half")];
        };
        tenant.plug(name, node, &[], both).await?;
    }
    let guests = tenant.guests(&["one", "two"]).await?;
    for guest in guests.values() {
        // A whole prefix goes with what a guest has made itself, and none with what it was told.
        for (card, address, length, server) in [
            ("eth0", guest.addresses[0], 128, "fd00:53::2"),
            ("eth1", guest.addresses[1], 64, "fd00:53::3"),
        ] {
            let shown = guest
                .run(&format!("ip -6 addr show dev {card} scope global"))
                .await?;
            ensure!(
                shown.contains(&format!(" {address}/{length} "))
                    && shown.matches("inet6").count() == 1,
                "{}: {shown}",
                guest.name
            );
            let told = format!("grep -Fx 'nameserver {server}' /run/dhcp/{card}/dns-bound6");
            guest.until(&told, SOON).await?;
        }
    }
    // And they are of use.
    let (one, two) = (&guests["one"], &guests["two"]);
    for address in &two.addresses {
        one.until(&format!("ping -c 2 -W 2 {address}"), SOON)
            .await?;
    }
    Ok(())
}
