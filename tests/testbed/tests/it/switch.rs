//! Nodes' switches under OVN, shown by packets: between nodes, to the outside and back, after a boot and after crashes.

use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Node, Seen, Testbed, outside, unique_name, wait_for};

/// What fits into the tunnels' packets.
const MTU: u16 = 1442;
/// How much of a ping's packet is headers.
const PING_HEADERS: u16 = 28;
const PAGE_BYTES: usize = 3 << 20;
const DEADLINE: Duration = Duration::from_mins(1);
const PORT: &str = "8080";

/// Something on a node that hangs on its switch: a network namespace of its own, with one card and a web server.
struct Workload {
    node: Node,
    /// Its logical port, its namespace, and the start of its link's name.
    name: &'static str,
    hardware: &'static str,
    address: &'static str,
    address_v6: &'static str,
}

impl Workload {
    /// Makes its logical port.
    async fn declare(&self, testbed: &Testbed, switch: &str) -> Result<()> {
        let addresses = [self.hardware, self.address, self.address_v6].join(" ");
        let words = ["lsp-add", switch, self.name, "--", "lsp-set-addresses"];
        let words = words.into_iter().chain([self.name, &addresses]);
        testbed.ovn().nbctl(words).await.map(drop)
    }

    /// Makes it on its node. It has a link to the switch, of which the switch need not know.
    async fn make(&self) -> Result<()> {
        let Self { name, hardware, .. } = self;
        self.on_node(&format!("ip netns add {name}")).await?;
        let link = self.link();
        self.on_node(&format!(
            "ip link add {link} mtu {MTU} type veth peer name eth0 address {hardware} mtu {MTU} netns {name}"
        ))
        .await?;
        self.on_node(&format!("ip link set {link} up")).await?;
        for (address, length) in [(self.address, 24), (self.address_v6, 64)] {
            self.run(&format!("ip address add {address}/{length} dev eth0 nodad"))
                .await?;
        }
        self.run("ip link set eth0 up").await?;
        self.run("ethtool -K eth0 tx off").await?;
        self.write_page()?;
        self.run(&format!(
            "busybox httpd -p {PORT} -h /var/lib/kilonova/{name}"
        ))
        .await
        .map(drop)
    }

    /// Tells the switch of its link.
    async fn plug_in(&self) -> Result<()> {
        let (link, name) = (self.link(), self.name);
        self.on_node(&format!(
            "ovs-vsctl add-port br-int {link} -- set Interface {link} external_ids:iface-id={name}"
        ))
        .await
        .map(drop)
    }

    /// Gives its web server something to serve.
    fn write_page(&self) -> Result<Vec<u8>> {
        let folder = format!("/var/lib/kilonova/{}", self.name);
        let folder = self.node.path_of(folder);
        std::fs::create_dir_all(&folder)?;
        let page = self.name.repeat(PAGE_BYTES / self.name.len());
        std::fs::write(folder.join("page"), &page)?;
        Ok(page.into_bytes())
    }

    fn link(&self) -> String {
        format!("{}-link", self.name)
    }

    async fn run(&self, line: &str) -> Result<String> {
        self.on_node(&format!("ip netns exec {} {line}", self.name))
            .await
    }

    async fn on_node(&self, line: &str) -> Result<String> {
        self.node.exec(line.split(' ')).await
    }

    /// Packets of full size, and a connection that carries many.
    async fn reaches(&self, other: &Self) -> Result<()> {
        wait_for("an answer to a ping", DEADLINE, async || {
            Ok(Seen::of(self.run(&ping(other.address)).await))
        })
        .await?;
        let expected = other.write_page()?;
        for address in [other.address, &format!("[{}]", other.address_v6)] {
            let got = self.run(&get(address)).await?;
            assert!(got.into_bytes() == expected, "{address}: another page");
        }
        Ok(())
    }
}

fn ping(address: &str) -> String {
    let size = MTU - PING_HEADERS;
    format!("busybox ping -c 1 -W 1 -s {size} {address}")
}

fn get(address: &str) -> String {
    format!(
        "curl --silent --show-error --fail --globoff --max-time 30 http://{address}:{PORT}/page"
    )
}

async fn wait_up(testbed: &Testbed, port: &str) -> Result<()> {
    let wait = ["wait-until", "Logical_Switch_Port", port, "up=true"];
    let waited = testbed.ovn().nbctl(wait).await;
    waited
        .map(drop)
        .with_context(|| format!("port {port} does not come up"))
}

#[tokio::test]
async fn ports_on_two_nodes_reach_each_other_whatever_happened_to_the_nodes() -> Result<()> {
    let testbed = Testbed::builder(unique_name("switch"))
        .nodes(2)
        .guarded()
        .up()
        .await?;
    let one = Workload {
        node: testbed.node("n1")?,
        name: "one",
        hardware: "02:00:00:00:00:01",
        address: "10.0.0.1",
        address_v6: "fd00::1",
    };
    let two = Workload {
        node: testbed.node("n2")?,
        name: "two",
        hardware: "02:00:00:00:00:02",
        address: "10.0.0.2",
        address_v6: "fd00::2",
    };
    testbed.ovn().nbctl(["ls-add", "net"]).await?;
    for workload in [&one, &two] {
        workload.declare(&testbed, "net").await?;
        workload.make().await?;
        workload.plug_in().await?;
    }
    for workload in [&one, &two] {
        wait_up(&testbed, workload.name).await?;
    }
    one.reaches(&two).await?;
    two.reaches(&one).await?;
    wait_for("the tunnels' counters", DEADLINE, async || {
        let sent = tunnelled(&one.node).await?;
        Ok(Seen::when(sent > PAGE_BYTES, format!("{sent} bytes")))
    })
    .await?;
    node_is_out_of_reach(&one).await?;

    let vswitchd = two.node.part("ovs-vswitchd");
    vswitchd.kill9().await?;
    assert!(one.run(&ping(two.address)).await.is_err());
    vswitchd.start().await?;
    one.reaches(&two).await?;

    two.node.power_off().await?;
    testbed.boot("n2").await?;
    two.make().await?; // the switch remembers the link, which was only gone
    one.reaches(&two).await?;
    two.reaches(&one).await?;
    testbed.down().await
}

/// How many bytes a node has sent to others through tunnels.
async fn tunnelled(node: &Node) -> Result<usize> {
    let find = "ovs-vsctl --bare --columns=statistics find Interface type=geneve";
    let found = node.exec(find.split(' ')).await?;
    let sent = found
        .split_whitespace()
        .find_map(|word| word.strip_prefix("tx_bytes="));
    let sent = sent.with_context(|| format!("no statistics: {found}"))?;
    Ok(sent.trim_end_matches(',').parse()?)
}

/// The kernel of the node gets a copy of all that a workload sends to the switch, and must not listen. Leaves the node
/// without its firewall.
async fn node_is_out_of_reach(workload: &Workload) -> Result<()> {
    let arping = |address: &str| format!("busybox arping -c 1 -w 1 -I eth0 {address}");
    workload.run(&arping("10.0.0.2")).await?; // that is how an answer looks
    for address in [workload.node.address(), workload.node.underlay_address()] {
        let answer = workload.run(&arping(&address.to_string())).await;
        assert!(answer.is_err(), "{address} answers: {answer:?}");
    }
    let node = workload.node.address();
    let link = format!("/sys/class/net/{}/address", workload.link());
    let hardware = workload.node.exec(["cat", &link]).await?;
    let hardware = hardware.trim();
    workload
        .run(&format!("ip route add {node} dev eth0"))
        .await?;
    workload
        .run(&format!("ip neigh add {node} lladdr {hardware} dev eth0"))
        .await?;
    assert!(!takes_datagrams(workload).await?);
    workload.on_node("nft delete table inet devstack").await?;
    assert!(takes_datagrams(workload).await?, "without its firewall");
    Ok(())
}

/// Whether the node's kernel looks for somebody who wants what a workload sends it.
async fn takes_datagrams(workload: &Workload) -> Result<bool> {
    let unwanted = async || {
        let counters = workload.node.exec(["cat", "/proc/net/snmp"]).await?;
        let mut udp = counters
            .lines()
            .filter_map(|line| line.strip_prefix("Udp: "));
        let (names, values) = (
            udp.next().unwrap_or_default(),
            udp.next().unwrap_or_default(),
        );
        let mut pairs = names.split(' ').zip(values.split(' '));
        let value = pairs.find_map(|(name, value)| (name == "NoPorts").then_some(value));
        let value = value.with_context(|| format!("no counter: {counters}"))?;
        anyhow::Ok(value.parse::<u64>()?)
    };
    let before = unwanted().await?;
    let send = format!("echo > /dev/udp/{}/9", workload.node.address());
    let enter = ["ip", "netns", "exec", workload.name, "bash", "-c", &send];
    workload.node.exec(enter).await?;
    Ok(unwanted().await? > before)
}

#[tokio::test]
async fn the_outside_reaches_a_port_and_is_reached() -> Result<()> {
    let name = unique_name("outside");
    let testbed = Testbed::builder(&name).nodes(1).guarded().up().await?;
    let server = Workload {
        node: testbed.node("n1")?,
        name: "server",
        hardware: "02:00:00:00:00:03",
        address: "192.0.2.3",
        address_v6: "2001:db8:ffff::3",
    };
    let ovn = testbed.ovn();
    let network = format!("network_name={}", outside::NETWORK);
    for line in [
        "ls-add public",
        "lsp-add public way-out",
        "lsp-set-type way-out localnet",
        "lsp-set-addresses way-out unknown",
        &format!("lsp-set-options way-out {network}"),
    ] {
        ovn.nbctl(line.split(' ')).await?;
    }
    server.declare(&testbed, "public").await?;
    server.make().await?;
    server.plug_in().await?;
    wait_up(&testbed, server.name).await?;
    meets_the_outside(&server, &testbed).await?;

    testbed.part("outside")?.kill9().await?;
    let address = outside::ADDRESS.to_string();
    // The kernel takes a network apart some time after the end of the last process in it.
    wait_for("nobody to answer a ping", DEADLINE, async || {
        let answer = server.run(&ping(&address)).await;
        Ok(Seen::when(answer.is_err(), "an answer"))
    })
    .await?;
    Testbed::builder(&name).nodes(1).up().await?;
    meets_the_outside(&server, &testbed).await?;
    testbed.down().await
}

async fn meets_the_outside(server: &Workload, testbed: &Testbed) -> Result<()> {
    let address = outside::ADDRESS.to_string();
    wait_for("an answer from outside", DEADLINE, async || {
        Ok(Seen::of(server.run(&ping(&address)).await))
    })
    .await?;
    let page = server.write_page()?;
    for address in [server.address, &format!("[{}]", server.address_v6)] {
        let got = testbed.outside().exec(get(address).split(' ')).await?;
        assert!(got.into_bytes() == page, "{address}: another page");
    }
    Ok(())
}
