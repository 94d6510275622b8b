//! Security groups of running servers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::shared::SOON;

/// How soon a rule has to hold.
const EFFECT: Duration = Duration::from_secs(5);
const ECHO_ONLY: &str = "kind: SecurityGroup\nmetadata: {name: web}\nspec: {rules: [{direction: Egress}, {direction: Ingress, protocol: Icmp}]}";
const WITH_WEB: &str = "kind: SecurityGroup\nmetadata: {name: web}\nspec: {rules: [{direction: Egress}, {direction: Ingress, protocol: Icmp}, {direction: Ingress, protocol: Tcp, ports: {from: 80, to: 80}}]}";

#[tokio::test]
async fn a_rule_takes_effect_at_once_and_outlives_a_restart_of_everything() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant.network("front", "10.0.0.0/24", None).await?;
    tenant.apply(ECHO_ONLY).await?;
    tenant
        .plug("web", "n1", &["front"], |spec| {
            spec.networks[0].security_groups = Some(vec!["web".to_owned()]);
        })
        .await?;
    tenant.plug("client", "n2", &["front"], |_| {}).await?;
    let guests = tenant.guests(&["web", "client"]).await?;
    let (web, client) = (&guests["web"], &guests["client"]);
    let get = format!("nettool tcp-get {} 80 timeout-ms=500", web.v4());
    web.run("killall httpd; true").await?;
    let _server = web.serve("nettool tcp-serve 0.0.0.0 80").await?;
    client
        .until(&format!("ping -c 1 -W 2 {}", web.v4()), SOON)
        .await?;
    ensure!(!client.try_run(&get).await?, "no rule allows it");

    tenant.apply(WITH_WEB).await?;
    let (opened, _) = client.until(&get, SOON).await?;
    tenant.apply(ECHO_ONLY).await?;
    let closed = client.until_not(&get, SOON).await?;
    eprintln!("a rule held after {opened:?}, and no longer {closed:?} after it was taken out");
    ensure!(opened < EFFECT && closed < EFFECT, "too late");

    tenant.apply(WITH_WEB).await?;
    client.until(&get, SOON).await?;
    let mut restarted = Vec::new();
    for part in tenant.testbed.parts()? {
        let name = part.name();
        let of_network = ["operator", "ovn-nb", "ovn-sb", "ovn-northd"].contains(&name)
            || ["agent", "ovs-vswitchd", "ovn-controller"]
                .iter()
                .any(|end| name.ends_with(end));
        if of_network {
            part.kill9().await?;
            part.start().await?;
            restarted.push(name.to_owned());
        }
    }
    // Three of OVN's, the operator, and three on each of three nodes.
    ensure!(restarted.len() == 13, "restarted only {restarted:?}");
    let began = Instant::now();
    client.until(&get, SOON * 2).await?;
    eprintln!(
        "it passed again {:?} after all were killed",
        began.elapsed()
    );
    client.run(&format!("ping -c 1 -W 5 {}", web.v4())).await?;
    let other = format!("nettool tcp-get {} 81 timeout-ms=500", web.v4());
    let _second = web.serve("nettool tcp-serve 0.0.0.0 81").await?;
    ensure!(
        !client.try_run(&other).await?,
        "what no rule allows stays closed"
    );
    Ok(())
}
