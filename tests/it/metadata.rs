//! The metadata service on a node with a real Open vSwitch: two networks whose guests have the same address, each of which
//! sees itself and nobody else, whatever they and the parts around the service do.
//!
//! Guests are network namespaces of the node that are plugged into its switch, and a few flows stand for OVN: what is
//! looked at here is the service, and OVN's part of it elsewhere.

mod node;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Seen, wait_for};

use node::{BLUE, Bed, RED};

const SOON: Duration = Duration::from_mins(1);
const PATH: &str = "/latest/meta-data/instance-id";

#[tokio::test]
async fn each_guest_sees_itself_and_nothing_of_the_host() -> Result<()> {
    let bed = Bed::make("metadata").await?;
    bed.serve().await?;

    // The same address on two networks.
    for _ in 0..3 {
        for guest in [&RED, &BLUE] {
            ensure!(bed.get(guest, PATH).await? == guest.uid);
        }
    }
    let document: Value =
        serde_json::from_str(&bed.get(&BLUE, "/openstack/latest/meta_data.json").await?)?;
    ensure!(document["name"] == "blue" && document["project_id"] == "project-blue");
    ensure!(bed.get(&RED, "/2009-04-04/user-data").await? == "#!user data of red");
    ensure!(bed.status(&RED, "/nothing").await? == "404");

    // An address that is nobody's gets nothing, not even a word.
    bed.within(&RED, "ip address add 10.0.0.99/24 dev eth0")
        .await?;
    let nobody = "curl --silent --max-time 5 --interface 10.0.0.99 --write-out |%{http_code} http://169.254.169.254/";
    ensure!(bed.within(&RED, nobody).await? == "|404");

    the_host_is_out_of_reach(&bed).await?;
    tokens_are_for_those_who_ask(&bed).await?;
    rights_are_gone(&bed).await
}

/// What listens on the host, and on the host's own address by way of the service's device, is not there for guests.
async fn the_host_is_out_of_reach(bed: &Bed) -> Result<()> {
    let host = bed.node.address();
    let health = format!("http://{host}:8082/healthz");
    // It is there for the host itself.
    bed.run(&format!("curl --silent --fail --max-time 5 {health}"))
        .await?;
    bed.within(
        &RED,
        &format!("ip route add {host}/32 via 169.254.169.254 dev eth0 onlink"),
    )
    .await?;
    for url in [&*health, "http://169.254.169.254:8082/healthz"] {
        let asked = bed
            .within(&RED, &format!("curl --silent --max-time 3 {url}"))
            .await;
        ensure!(asked.is_err(), "{url} answers a guest: {asked:?}");
    }
    // The devices are in no namespace of the host's, and none of the service's has IPv6.
    let links = bed.run("ip --oneline link").await?;
    ensure!(!links.contains("md-"), "{links}");
    let pid = bed.pid().await?;
    let command = format!("sh -c 'cat /proc/{pid}/task/*/net/dev /proc/{pid}/task/*/net/if_inet6'");
    let threads = bed.run(&command).await?;
    ensure!(threads.contains("md-"), "{threads}");
    let six = threads
        .lines()
        .filter(|line| line.starts_with("fe80") && line.contains("md-"));
    ensure!(six.count() == 0, "{threads}");
    Ok(())
}

async fn tokens_are_for_those_who_ask(bed: &Bed) -> Result<()> {
    let token = |guest| {
        bed.curl(
            guest,
            "--request PUT --header X-aws-ec2-metadata-token-ttl-seconds:60",
            "/latest/api/token",
        )
    };
    let red = token(&RED).await?;
    let shown = format!("--header X-aws-ec2-metadata-token:{red}");
    ensure!(bed.curl(&RED, &shown, PATH).await? == RED.uid);
    // Another guest's token is none.
    ensure!(bed.status_with(&BLUE, &shown, PATH).await? == "401");
    ensure!(
        bed.status_with(&RED, "--header X-Forwarded-For:10.0.0.7", PATH)
            .await?
            == "403"
    );

    // A socket that takes no packet that may have passed a router gets answers, but no token.
    let far = |method: &str, path: &str| {
        let header = "X-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n";
        format!(
            "import socket;s=socket.socket();s.settimeout(3);s.connect((\"169.254.169.254\",80));\
             s.setsockopt(0,21,60);s.send(b\"{method} {path} HTTP/1.1\\r\\nHost: x\\r\\n{header}Connection: close\\r\\n\\r\\n\");\
             print(s.recv(99).split()[1].decode())"
        )
    };
    let python =
        |code: String| async move { bed.within_words(&RED, &["python3", "-c", &code]).await };
    ensure!(python(far("GET", PATH)).await?.trim() == "200");
    let lost = python(far("PUT", "/latest/api/token")).await;
    ensure!(lost.is_err(), "a token passes routers: {lost:?}");

    // The owner's wish takes effect while the guest runs.
    bed.require_tokens(&RED).await?;
    wait_for("red's requests to need a token", SOON, async || {
        Ok(Seen::when(
            bed.status(&RED, PATH).await? == "401",
            "they need none",
        ))
    })
    .await?;
    ensure!(bed.status(&RED, "/openstack/latest/user_data").await? == "401");
    ensure!(bed.curl(&RED, &shown, PATH).await? == RED.uid);
    ensure!(bed.get(&BLUE, PATH).await? == BLUE.uid);
    Ok(())
}

/// No thread can do what only the start took.
async fn rights_are_gone(bed: &Bed) -> Result<()> {
    const SYS_ADMIN: u64 = 1 << 21;
    let pid = bed.pid().await?;
    let command = format!("sh -c 'grep -hE \"^Cap(Eff|Prm):\" /proc/{pid}/task/*/status'");
    let said = bed.run(&command).await?;
    let mut seen = 0;
    for line in said.lines() {
        let set = line.split_whitespace().nth(1).unwrap_or_default();
        let set = u64::from_str_radix(set, 16)?;
        // NET_BIND_SERVICE, NET_ADMIN, NET_RAW.
        ensure!(
            set & SYS_ADMIN == 0 && set & !(1 << 10 | 1 << 12 | 1 << 13) == 0,
            "{said}"
        );
        seen += 1;
    }
    ensure!(seen >= 4, "{said}");
    Ok(())
}

#[tokio::test]
async fn the_service_bears_what_guests_and_daemons_do() -> Result<()> {
    let bed = Bed::make("metadata-faults").await?;
    bed.serve().await?;
    let answers = async |guest: &'static node::Guest| {
        let what = format!("{} to be served", guest.name);
        wait_for(&what, SOON, async || {
            // A port that was made anew has another number, and OVN would follow.
            let seen = match bed.flow(guest).await {
                Ok(()) => bed.get(guest, PATH).await,
                Err(error) => Err(error),
            };
            Ok(match seen {
                Ok(id) if id == guest.uid => Seen::Wanted(()),
                Ok(id) => Seen::NotYet(format!("it is told of {id}")),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
        .await
        .with_context(|| bed.log())
    };

    // A guest that keeps all its connections to itself is in its own way only.
    let code = "import socket\nh=[]\nfor i in range(40):\n s=socket.socket();s.settimeout(3);s.connect((\"169.254.169.254\",80));\
                h.append(s)\nprint(\"held\",flush=True)\nimport time;time.sleep(20)\n";
    let mut hostile = bed.start(&RED, &["python3", "-c", code]).await?;
    for _ in 0..5 {
        ensure!(bed.get(&BLUE, PATH).await? == BLUE.uid);
    }
    hostile.kill().await?;
    answers(&RED).await?;
    // Nor is one that sends junk.
    let junk = "import socket,os\nfor i in range(20):\n s=socket.socket();s.settimeout(3);s.connect((\"169.254.169.254\",80))\n \
                try:\n  s.sendall(os.urandom(60000));s.recv(99)\n except OSError: pass\n";
    bed.within_words(&RED, &["python3", "-c", junk]).await?;
    answers(&RED).await?;
    answers(&BLUE).await?;

    // A neighbour on red's network that takes red's address gets nothing of red's: answers go to red's NIC.
    ensure!(
        bed.thief().await?.is_err(),
        "a thief of an address got an answer"
    );

    // The switch's daemon makes its devices anew.
    bed.restart_switch().await?;
    answers(&RED).await?;
    answers(&BLUE).await?;

    // The process is killed, and with it goes the namespace with all devices.
    bed.kill("KILL").await?;
    bed.serve().await?;
    answers(&RED).await?;
    answers(&BLUE).await?;

    // A guest that leaves takes its network's port along, and no other.
    bed.run("ovs-vsctl add-port br-int md-stranger -- set interface md-stranger type=internal")
        .await?;
    bed.forget(&BLUE).await?;
    wait_for("blue's port to go", SOON, async || {
        let ports = bed.run("ovs-vsctl list-ports br-int").await?;
        Ok(Seen::when(!ports.contains(&BLUE.device()), ports))
    })
    .await?;
    answers(&RED).await?;

    // Asked to stop, it leaves nothing of its own.
    bed.kill("TERM").await?;
    let ports = bed.run("ovs-vsctl list-ports br-int").await?;
    ensure!(
        ports.contains("md-stranger") && !ports.contains(&RED.device()),
        "{ports}"
    );
    Ok(())
}
