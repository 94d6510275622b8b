//! What becomes of packets: the shop's rows, through northd, asked of ovn-trace.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kilonova::api::address::Mac;
use kilonova::cluster::metrics::registry;
use kilonova::network::metrics::NorthboundMetrics;
use kilonova::network::plan::topology::Topology;
use kilonova::network::realiser::{Realiser, RealiserSettings, Standing};
use tokio::time;

use super::central::{Central, SOON};
use super::cloud::shop;

/// OVN with what is wanted, and two nodes.
async fn central(topology: Topology) -> Result<(Central, Realiser)> {
    wanted(Central::with_northd(&["node1", "node2"]).await?, topology).await
}

/// The same of an OVN that is there.
pub async fn wanted(central: Central, topology: Topology) -> Result<(Central, Realiser)> {
    let realiser = Realiser::start(RealiserSettings {
        endpoints: vec![central.endpoint()],
        tls: None,
        metrics: NorthboundMetrics::new(&mut registry()),
    });
    let uids = kilonova::network::plan::northbound::compile(&topology)
        .uids()
        .clone();
    realiser.want(Arc::new(topology));
    let begun = time::Instant::now();
    while let Some(uid) = uids
        .iter()
        .find(|uid| realiser.standing(uid) != Standing::Written)
    {
        ensure!(
            begun.elapsed() < SOON,
            "{uid}: {:?}",
            realiser.standing(uid)
        );
        time::sleep(Duration::from_millis(20)).await;
    }
    central.synchronise()?;
    Ok((central, realiser))
}

/// A packet from a port of the shop: its Ethernet side and the rest.
fn from(port: &str, to_mac: &str, rest: &str) -> String {
    let mac = Mac::of(port);
    format!("inport == \"{port}\" && eth.src == {mac} && eth.dst == {to_mac} && {rest}")
}

fn mac(port: &str) -> String {
    Mac::of(port).to_string()
}

const ROUTER: &str = "02:00:00:00:01:01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_for_another() -> Result<()> {
    let (central, _realiser) = central(shop()).await?;
    let to = mac("web-2");
    let tcp = "ip.ttl == 64 && tcp && tcp.dst == 80";
    let passes = [
        from(
            "web-1",
            &to,
            &format!("ip4.src == 10.0.1.11 && ip4.dst == 10.0.1.12 && {tcp}"),
        ),
        from(
            "web-1",
            &to,
            &format!("ip6.src == fd00:1::11 && ip6.dst == fd00:1::12 && {tcp}"),
        ),
        from(
            "client",
            &to,
            &format!("ip4.src == 10.0.1.200 && ip4.dst == 10.0.1.12 && {tcp}"),
        ),
    ];
    for packet in &passes {
        let trace = central.trace("web", packet)?;
        assert!(trace.contains("output(\"web-2\")"), "{packet}\n{trace}");
    }
    let all = "ff:ff:ff:ff:ff:ff";
    let own = mac("web-1");
    let arp = |spa: &str, sha: &str| {
        from(
            "web-1",
            all,
            &format!("arp.op == 1 && arp.spa == {spa} && arp.sha == {sha} && arp.tpa == 10.0.1.13"),
        )
    };
    let forged = [
        // Another's IPv4, IPv6, Ethernet, ARP, neighbour advertisement.
        from(
            "web-1",
            &to,
            &format!("ip4.src == 10.0.1.13 && ip4.dst == 10.0.1.12 && {tcp}"),
        ),
        from(
            "web-1",
            &to,
            &format!("ip6.src == fd00:1::13 && ip6.dst == fd00:1::12 && {tcp}"),
        ),
        passes[0].replace(&own, &mac("client")),
        arp("10.0.1.13", &own),
        arp("10.0.1.11", &mac("client")),
        from(
            "web-1",
            &to,
            "ip6.src == fd00:1::11 && ip6.dst == fd00:1::12 && ip.ttl == 255 && icmp6.type == 136 && icmp6.code == 0 && nd.target == fd00:1::13 && nd.tll == 02:00:00:00:00:99",
        ),
        // A DHCP offer, a redirect.
        from(
            "web-1",
            &to,
            "ip4.src == 10.0.1.11 && ip4.dst == 10.0.1.12 && ip.ttl == 64 && udp.src == 67 && udp.dst == 68",
        ),
        from(
            "web-1",
            &to,
            "ip4.src == 10.0.1.11 && ip4.dst == 10.0.1.12 && ip.ttl == 64 && icmp4.type == 5",
        ),
    ];
    for packet in &forged {
        let trace = central.trace("web", packet)?;
        assert!(!trace.contains("output("), "{packet}\n{trace}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_let_pass_what_they_name_and_nothing_else() -> Result<()> {
    let (central, _realiser) = central(shop()).await?;
    let tcp = |from_port: &str, from_ip: &str, to: &str, port: u16| {
        let rest =
            format!("ip4.src == {from_ip} && ip4.dst == {to} && ip.ttl == 64 && tcp.dst == {port}");
        from(from_port, ROUTER, &rest)
    };
    // The database's group lets in the web servers only, and only its port.
    for (packet, passes) in [
        (tcp("web-1", "10.0.1.11", "10.0.2.11", 5432), true),
        (tcp("web-1", "10.0.1.11", "10.0.2.11", 22), false),
        (tcp("client", "10.0.1.13", "10.0.2.11", 5432), false),
    ] {
        let trace = central.trace("web", &packet)?;
        assert_eq!(
            trace.contains("output(\"db-1\")"),
            passes,
            "{packet}\n{trace}"
        );
    }
    // It has no rule for what goes out, so only answers do, and questions for addresses.
    let out = from(
        "db-1",
        "02:00:00:00:02:01",
        "ip4.src == 10.0.2.11 && ip4.dst == 10.0.1.11 && ip.ttl == 64 && tcp.dst == 80",
    );
    assert!(!central.trace("db", &out)?.contains("output("));
    let answer = from(
        "db-1",
        "02:00:00:00:02:01",
        "ip4.src == 10.0.2.11 && ip4.dst == 10.0.1.11 && ip.ttl == 64 && tcp.src == 5432",
    );
    let established = ["--ct=trk,est,rpl", "--ct=trk,est,rpl"];
    let trace = central.trace_with(&established, "db", &answer)?;
    assert!(trace.contains("output(\"web-1\")"), "{trace}");
    let asks = from(
        "db-1",
        "ff:ff:ff:ff:ff:ff",
        "arp.op == 1 && arp.sha == 02:68:15:0c:fc:45 && arp.spa == 10.0.2.11 && arp.tpa == 10.0.2.1",
    );
    let trace = central.trace("db", &asks)?;
    assert!(trace.contains("output("), "{trace}");
    // Also a port without rules has DHCP, and is answered on its own node.
    let discover = from(
        "db-1",
        "ff:ff:ff:ff:ff:ff",
        "ip4.src == 0.0.0.0 && ip4.dst == 255.255.255.255 && ip.ttl == 64 && udp.src == 68 && udp.dst == 67",
    );
    let trace = central.tool("ovn-trace", &["--summary", "db", &discover])?;
    assert!(trace.contains("put_dhcp_opts"), "{trace}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_translated_on_the_way_out_and_nowhere_else() -> Result<()> {
    let (central, _realiser) = central(shop()).await?;
    let nats = central.tool("ovn-sbctl", &["lflow-list", "router-edge"])?;
    for (what, part) in [
        (
            "a subnet goes out under the router's address",
            "ct_snat(192.0.2.10)",
        ),
        (
            "a floating IP is its port's on the port's own node",
            "is_chassis_resident(\"web-1\")",
        ),
        ("a floating IP comes in", "(10.0.1.12)"),
        (
            "who sends what is too large is told so",
            "check_pkt_larger(",
        ),
    ] {
        assert!(nats.contains(part), "{what}: {part}");
    }
    // Between networks of one router, sources stay as they are.
    let packet = from(
        "web-1",
        ROUTER,
        "ip4.src == 10.0.1.11 && ip4.dst == 10.0.2.11 && ip.ttl == 64 && tcp.dst == 5432",
    );
    let trace = central.tool("ovn-trace", &["--detailed", "web", &packet])?;
    assert!(trace.contains("output to \"db-1\""), "{trace}");
    assert!(
        !trace.contains("ct_snat(") && !trace.contains("ip4.src = 192.0.2"),
        "{trace}"
    );
    // And out of the provider's port, in its VLAN, on the way to the world.
    let packet = from(
        "db-1",
        "02:00:00:00:02:01",
        "ip4.src == 10.0.2.11 && ip4.dst == 203.0.113.9 && ip.ttl == 64 && tcp.src == 5432",
    );
    let trace = central.trace_with(&["--ct=trk,est,rpl"], "db", &packet)?;
    assert!(!trace.contains("output(\"web-1\")"), "{trace}");
    let tag = central.nbctl(&["get", "Logical_Switch_Port", "provider-outside", "tag"])?;
    assert_eq!(tag.trim(), "100");
    Ok(())
}

/// Whom a client of a load balancer reaches, and whether anybody answers for its address.
async fn balanced(topology: Topology) -> Result<()> {
    let front = topology.balancers["front"].mac.to_string();
    let (central, _realiser) = central(topology).await?;
    let own = mac("client");
    let asks = from(
        "client",
        "ff:ff:ff:ff:ff:ff",
        &format!(
            "arp.op == 1 && arp.sha == {own} && arp.spa == 10.0.1.13 && arp.tpa == 10.0.1.100"
        ),
    );
    let trace = central.tool("ovn-trace", &["--detailed", "web", &asks])?;
    assert!(
        trace.contains("output to \"client\""),
        "somebody answers: {trace}"
    );
    assert_eq!(
        trace.matches("arp.op = 2").count(),
        1,
        "one answers: {trace}"
    );
    let syn = from(
        "client",
        &front,
        "ip4.src == 10.0.1.13 && ip4.dst == 10.0.1.100 && ip.ttl == 64 && tcp.dst == 80",
    );
    for member in ["web-1", "web-2"] {
        let ip = if member == "web-1" {
            "10.0.1.11"
        } else {
            "10.0.1.12"
        };
        let backend = format!("--lb-dst={ip}:80");
        let trace = central.trace_with(&["--ct=new", &backend, "--ct=new"], "web", &syn)?;
        assert!(
            trace.contains(&format!("output(\"{member}\")")),
            "{member}: {trace}"
        );
    }
    // Nobody is behind the other listener: whoever asks is told so.
    let udp = syn.replace("tcp.dst == 80", "udp.dst == 53");
    let trace = central.tool("ovn-trace", &["--ct=new", "--summary", "web", &udp])?;
    assert!(
        trace.contains("reject") || trace.contains("icmp4"),
        "{trace}"
    );
    let monitors = central.tool(
        "ovn-sbctl",
        &[
            "--bare",
            "--columns=ip,logical_port",
            "list",
            "Service_Monitor",
        ],
    )?;
    for word in ["10.0.1.11", "10.0.1.12", "web-1", "web-2"] {
        assert!(monitors.contains(word), "{word} is watched: {monitors}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_is_reached_from_its_own_network_beside_a_router() -> Result<()> {
    balanced(shop()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_is_reached_without_any_router() -> Result<()> {
    let mut topology = shop();
    topology.routers.clear();
    if let Some(front) = topology.balancers.get_mut("front") {
        front.floating = None;
    }
    let web = topology.switches.get_mut("web").context("it is there")?;
    for subnet in web.subnets.values_mut() {
        subnet.gateway = None;
    }
    balanced(topology).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_is_reached_from_other_networks_of_its_router() -> Result<()> {
    let mut topology = shop();
    let db = topology.switches.get_mut("db").context("it is there")?;
    db.ports
        .get_mut("db-1")
        .context("it is there")?
        .groups
        .insert("default".to_owned());
    let (central, _realiser) = central(topology).await?;
    for vip in ["10.0.1.100", "192.0.2.60"] {
        let rest =
            format!("ip4.src == 10.0.2.11 && ip4.dst == {vip} && ip.ttl == 64 && tcp.dst == 80");
        let syn = from("db-1", "02:00:00:00:02:01", &rest);
        let words = ["--ct=new", "--lb-dst=10.0.1.12:80", "--ct=new", "--ct=new"];
        let trace = central.trace_with(&words, "db", &syn)?;
        assert!(trace.contains("output(\"web-2\")"), "{vip}: {trace}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn northd_understands_every_row() -> Result<()> {
    let (central, _realiser) = central(shop()).await?;
    let log = central.log("northd")?;
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("|WARN|") || line.contains("|ERR|"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}
