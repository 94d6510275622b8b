//! Routers, the way out, floating IPs and load balancers.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::cloud::Tenant;
use crate::shared::SOON;

const SERVE: &str = "nettool tcp-serve 0.0.0.0 8080";

async fn address_of(tenant: &Tenant, object: &str) -> Result<String> {
    tenant.ready(object).await?;
    let path = "jsonpath={.status.address.ip}";
    tenant.kubectl(&["get", object, "-o", path]).await
}

/// Who answers outside, of so many tries.
async fn answers(
    tenant: &Tenant,
    address: &str,
    port: u16,
    tries: usize,
) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    let script = format!("exec 3<>/dev/tcp/{address}/{port} && read -t 3 -r who <&3 && echo $who");
    for _ in 0..tries {
        let who = tenant
            .testbed
            .outside()
            .exec(["timeout", "5", "bash", "-c", &script])
            .await
            .unwrap_or_else(|_| "nobody".to_owned());
        *counts.entry(who.trim().to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// Waits until the load balancer says that so many of its members live.
async fn online(tenant: &Tenant, count: usize) -> Result<()> {
    let wanted = format!("--for=jsonpath={{.status.online}}={count}");
    let words = ["wait", "loadbalancer/www", &wanted, "--timeout=60s"];
    tenant.kubectl(&words).await.map(drop)
}

#[tokio::test]
async fn routers_floating_ips_and_load_balancers_lead_where_they_say() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant
        .network("front", "10.0.0.0/24", Some("fd00:0:0:1::/64"))
        .await?;
    tenant
        .apply(
            "kind: Network\nmetadata: {name: back}\nspec: {}\n---\nkind: Subnet\nmetadata: {name: back-v4}\nspec: {network: back, cidr: 10.1.0.0/24}\n---\nkind: Router\nmetadata: {name: front}\nspec: {externalGateway: {network: public/internet}, interfaces: [{subnet: front-v4}, {subnet: front-v6}, {subnet: back-v4}]}\n---\nkind: SecurityGroup\nmetadata: {name: open}\nspec: {rules: [{direction: Egress}, {direction: Ingress}]}",
        )
        .await?;
    for (name, node, network) in [
        ("web-1", "n1", "front"),
        ("web-2", "n2", "front"),
        ("client", "n1", "back"),
    ] {
        tenant
            .plug(name, node, &[network], |spec| {
                spec.networks[0].security_groups = Some(vec!["open".to_owned()]);
            })
            .await?;
    }
    let guests = tenant.guests(&["web-1", "web-2", "client"]).await?;
    let (one, two, client) = (&guests["web-1"], &guests["web-2"], &guests["client"]);

    // Between subnets, and out with the router's address.
    client
        .until(&format!("ping -c 1 -W 2 {}", one.v4()), SOON)
        .await?;
    client
        .until(&format!("ping -c 1 -W 2 {}", two.v4()), SOON)
        .await?;
    let router = tenant
        .kubectl(&[
            "get",
            "router/front",
            "-o",
            "jsonpath={.status.gateway.addresses[0].ip}",
        ])
        .await?;
    let outside = tenant.testbed.outside();
    let mut seen = outside.command([
        "timeout", "30", "tcpdump", "-lni", "any", "-c", "1", "icmp", "and", "src", "host", &router,
    ])?;
    let seen = seen.stdout(std::process::Stdio::piped()).spawn()?;
    client.until("ping -c 5 -W 2 192.0.2.1", SOON).await?;
    let seen = seen.wait_with_output().await?;
    ensure!(
        seen.status.success(),
        "nobody outside saw the router's address {router}"
    );

    // In by a floating IP, and out with it.
    tenant
        .apply("kind: FloatingIP\nmetadata: {name: client}\nspec: {network: public/internet, server: client}")
        .await?;
    let floating = address_of(&tenant, "floatingip/client").await?;
    let serving = client.serve(SERVE).await?;
    let who = answers(&tenant, &floating, 8080, 3).await?;
    ensure!(who.get("client") == Some(&3), "{who:?}");
    serving.stop().await?;

    // Spread over members, without the dead one, and with it again.
    tenant
        .apply("kind: LoadBalancer\nmetadata: {name: www}\nspec: {subnet: front-v4, listeners: [{name: web, protocol: Tcp, port: 80, pool: web}], pools: [{name: web, members: [{server: web-1, port: 8080}, {server: web-2, port: 8080}], healthCheck: {interval: 1s, timeout: 1s, rise: 1, fall: 2}}]}\n---\nkind: FloatingIP\nmetadata: {name: www}\nspec: {network: public/internet, loadBalancer: www}")
        .await?;
    let (serving_one, serving_two) = (one.serve(SERVE).await?, two.serve(SERVE).await?);
    let virtual_address = address_of(&tenant, "loadbalancer/www").await?;
    let public = address_of(&tenant, "floatingip/www").await?;
    let both = async |min: usize, names: &[&str]| -> Result<()> {
        let began = std::time::Instant::now();
        loop {
            let who = answers(&tenant, &public, 80, 12).await?;
            let right = who.keys().all(|name| names.contains(&name.as_str()))
                && names
                    .iter()
                    .all(|name| who.get(*name).copied().unwrap_or(0) >= min);
            if right {
                eprintln!("outside, of 12: {who:?}");
                return Ok(());
            }
            ensure!(began.elapsed() < SOON, "{who:?} instead of {names:?}");
        }
    };
    both(2, &["web-1", "web-2"]).await?;
    client
        .until(&format!("nettool tcp-get {virtual_address} 80"), SOON)
        .await?;
    one.until(&format!("nettool tcp-get {virtual_address} 80"), SOON)
        .await?;
    serving_one.stop().await?;
    both(12, &["web-2"]).await?;
    online(&tenant, 1).await?;
    let again = one.serve(SERVE).await?;
    both(2, &["web-1", "web-2"]).await?;
    online(&tenant, 2).await?;
    for server in [again, serving_two] {
        server.stop().await?;
    }
    Ok(())
}
