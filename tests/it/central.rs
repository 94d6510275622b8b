//! OVN's central side in pods, as users install it: who is let in, who may write what, and what it outlives. One test at a
//! time, on a testbed of their own, with three nodes and so three members.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kilonova::api::{certificate, node_namespace};
use kilonova::network::pki::certificate::Authority;
use kilonova::network::pki::plan::{AUTHORITY_LIFE, LIFE, span};
use kube::api::{Api, DeleteParams};
use testbed::{Node, SYSTEM_NAMESPACE, Seen, Testbed, wait_for};
use tokio::sync::{Mutex, MutexGuard};

use crate::shared::{OwnTestbed, SOON};

static TESTBED: OwnTestbed = OwnTestbed::with_pods("ovn", 3);
static TURN: Mutex<()> = Mutex::const_new(());

const MEMBERS: usize = 3;
/// As a leader that is killed is missed after 1 s, and a member's name has another address 5 s later.
const LED_AGAIN_MAX: Duration = Duration::from_secs(15);

async fn turn() -> Result<(MutexGuard<'static, ()>, &'static Testbed)> {
    let turn = TURN.lock().await;
    let testbed = TESTBED.get().await?;
    wait_whole(testbed).await?;
    Ok((turn, testbed))
}

fn member(number: usize) -> String {
    format!("kilonova-ovn-{number}")
}

async fn pods(testbed: &Testbed) -> Result<Api<Pod>> {
    Ok(Api::namespaced(testbed.client().await?, SYSTEM_NAMESPACE))
}

/// Waits until every member is a ready one.
async fn wait_whole(testbed: &Testbed) -> Result<()> {
    let pods = pods(testbed).await?;
    wait_for(
        "all members of OVN's clusters to be ready",
        SOON,
        async || {
            for number in 0..MEMBERS {
                let pod = pods.get_opt(&member(number)).await?;
                let ready = pod.as_ref().is_some_and(is_ready);
                if !ready {
                    return Ok(Seen::when(false, format!("{} is not", member(number))));
                }
            }
            Ok(Seen::when(true, "they are"))
        },
    )
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}

/// What the southbound database's servers say of their cluster: each member's socket, and its answer.
async fn statuses(testbed: &Testbed) -> Result<Vec<(String, String)>> {
    let mut said = Vec::new();
    let sockets = testbed.ovn().southbound_sockets().await?;
    for socket in sockets.split(',') {
        let socket = socket.trim_start_matches("unix:").to_owned();
        let control = socket.replace(".sock", ".ctl");
        let output = std::process::Command::new("ovs-appctl")
            .args(["-t", &control, "cluster/status", "OVN_Southbound"])
            .output()?;
        said.push((socket, String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    Ok(said)
}

/// The process that leads the southbound database's cluster (its supervisor), and in which term.
async fn leader(testbed: &Testbed) -> Result<Option<(i32, u64)>> {
    for (socket, status) in statuses(testbed).await? {
        if status.contains("\nRole: leader\n") && status.contains("\nStatus: cluster member\n") {
            let pid = socket.split('/').nth(2).context("a path in /proc")?;
            let term = status.lines().find_map(|line| line.strip_prefix("Term: "));
            return Ok(Some((pid.parse()?, term.context("no term")?.parse()?)));
        }
    }
    Ok(None)
}

/// Where nodes are told that the southbound database is.
async fn southbound(testbed: &Testbed) -> Result<String> {
    let services: Api<Service> = Api::namespaced(testbed.client().await?, SYSTEM_NAMESPACE);
    let service = services.get("kilonova-ovn-southbound").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip);
    Ok(format!("{}:6642", address.context("it has no address")?))
}

/// Runs `ovn-sbctl` on a node with the certificates of a folder of it; what it printed, or why it failed.
async fn sbctl(
    node: &Node,
    endpoint: &str,
    folder: &str,
    words: &[&str],
) -> Result<String, String> {
    let file = |flag: &str, name: &str| format!("--{flag}={folder}/{name}");
    let mut all = vec![
        "ovn-sbctl".to_owned(),
        "--timeout=10".to_owned(),
        "--no-leader-only".to_owned(),
        format!("--db={endpoint}"),
        file("private-key", "tls.key"),
        file("certificate", "tls.crt"),
        file("ca-cert", "ca.crt"),
    ];
    all.extend(words.iter().map(|word| (*word).to_owned()));
    node.exec(all).await.map_err(|error| format!("{error:#}"))
}

/// What a node's agent has written.
const OWN: &str = "/var/lib/kilonova/ovn";

#[tokio::test]
async fn only_whom_the_authority_has_certified_is_let_in() -> Result<()> {
    let (_turn, testbed) = turn().await?;
    let (node, southbound) = (testbed.node("n1")?, southbound(testbed).await?);
    let show = ["--bare", "--columns=name", "list", "Chassis"];
    let shown = sbctl(&node, &format!("ssl:{southbound}"), OWN, &show).await;
    let shown = shown.map_err(anyhow::Error::msg)?;
    for name in ["n1", "n2", "n3"] {
        ensure!(shown.contains(name), "{shown}");
    }
    // In the clear.
    let clear = sbctl(&node, &format!("tcp:{southbound}"), OWN, &show).await;
    ensure!(clear.is_err(), "{clear:?}");
    // Somebody else's authority says that this is n1, too.
    let now = jiff::Timestamp::now();
    let made = Authority::make(None, span(now, AUTHORITY_LIFE))?;
    let stranger = Authority::read(&made.certificate, &made.key)?;
    let issued = stranger.issue("n1", &[], span(now, LIFE))?;
    let folder = "/var/lib/kilonova/stranger";
    let path = node.path_of(folder);
    std::fs::create_dir_all(&path)?;
    let trusted = std::fs::read_to_string(node.path_of(Path::new(OWN).join("ca.crt")))?;
    for (name, content) in [
        ("ca.crt", &trusted),
        ("tls.crt", &issued.certificate),
        ("tls.key", &issued.key),
    ] {
        std::fs::write(path.join(name), content)?;
    }
    let strange = sbctl(&node, &format!("ssl:{southbound}"), folder, &show).await;
    ensure!(strange.is_err(), "{strange:?}");
    Ok(())
}

#[tokio::test]
async fn a_node_writes_what_is_of_its_own_chassis_and_nothing_else() -> Result<()> {
    let (_turn, testbed) = turn().await?;
    let (node, southbound) = (testbed.node("n1")?, southbound(testbed).await?);
    let endpoint = format!("ssl:{southbound}");
    let write = async |words: &[&str]| sbctl(&node, &endpoint, OWN, words).await;
    let own = write(&["set", "Chassis", "n1", "external_ids:probe=1"]).await;
    own.map_err(anyhow::Error::msg)?;
    for words in [
        &["set", "Chassis", "n2", "external_ids:probe=1"][..],
        &["destroy", "Chassis", "n2"],
        &["set", "SB_Global", ".", "external_ids:probe=1"],
        &["set-connection", "pssl:6642"],
    ] {
        let said = write(words).await.err().unwrap_or_default();
        ensure!(said.contains("permission error"), "{words:?}: {said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_leader_is_outlived() -> Result<()> {
    let (_turn, testbed) = turn().await?;
    let ovn = testbed.ovn();
    ovn.nbctl(["--wait=hv", "ls-add", "before"]).await?;
    let (pid, term) = leader(testbed).await?.context("nobody leads")?;
    let mut kill = std::process::Command::new("kill");
    let status = kill.args(["-KILL", &pid.to_string()]).status()?;
    ensure!(status.success(), "{status}");
    let killed = Instant::now();
    wait_for("another member to lead", SOON, async || {
        let now = leader(testbed).await?;
        let other = now.is_some_and(|(_, now)| now > term);
        Ok(Seen::when(other, format!("{now:?}")))
    })
    .await?;
    let led = killed.elapsed();
    ensure!(led < LED_AGAIN_MAX, "it took {led:?}");
    // All the way: northbound database, ovn-northd, southbound database, each node and back.
    ovn.nbctl(["--wait=hv", "ls-add", "after"]).await?;
    eprintln!(
        "another member led {:.1} s after the leader was killed, and nodes did what was new after {:.1} s",
        led.as_secs_f64(),
        killed.elapsed().as_secs_f64()
    );
    let all = ovn.nbctl(["ls-list"]).await?;
    ensure!(all.contains("before") && all.contains("after"), "{all}");
    for switch in ["before", "after"] {
        ovn.nbctl(["ls-del", switch]).await?;
    }
    wait_whole(testbed).await
}

#[tokio::test]
async fn a_member_that_lost_its_volume_joins_again_in_its_own_place() -> Result<()> {
    let (_turn, testbed) = turn().await?;
    testbed.ovn().nbctl(["--wait=sb", "ls-add", "kept"]).await?;
    let pods = pods(testbed).await?;
    // The first: the one that founds a cluster where there is none.
    let pod = pods.get(&member(0)).await?;
    let node = pod.spec.and_then(|spec| spec.node_name);
    let node = testbed.node(&node.context("it is nowhere")?)?;
    let volume = node.path_of("/var/lib/volumes/0");
    let before = ids(testbed).await?;
    pods.delete(&member(0), &DeleteParams::default()).await?;
    for database in ["northbound", "southbound"] {
        std::fs::remove_file(volume.join(format!("{database}.db")))?;
    }
    wait_for("three members again, one of them new", SOON, async || {
        let now = ids(testbed).await?;
        let stayed = before.iter().filter(|id| now.contains(id)).count();
        let whole = now.len() == MEMBERS && stayed == MEMBERS - 1;
        Ok(Seen::when(whole, format!("{before:?}, now {now:?}")))
    })
    .await?;
    wait_whole(testbed).await?;
    let all = testbed.ovn().nbctl(["ls-list"]).await?;
    ensure!(all.contains("kept"), "{all}");
    testbed.ovn().nbctl(["ls-del", "kept"]).await.map(drop)
}

/// Which servers the southbound database's leader has for members.
async fn ids(testbed: &Testbed) -> Result<Vec<String>> {
    for (_, status) in statuses(testbed).await? {
        if status.contains("\nRole: leader\n") {
            let (_, servers) = status.split_once("\nServers:\n").context("no servers")?;
            let ids = servers
                .lines()
                .filter_map(|line| line.split_whitespace().next());
            return Ok(ids.map(str::to_owned).collect());
        }
    }
    Ok(Vec::new())
}

/// Certificates are issued anew, and taken up by agent, ovn-controller and servers that all run on.
#[tokio::test]
async fn new_certificates_are_taken_up_without_a_restart() -> Result<()> {
    let (_turn, testbed) = turn().await?;
    let node = testbed.node("n1")?;
    let controller = testbed.part("n1/ovn-controller")?.process();
    let file = node.path_of(Path::new(OWN).join("tls.crt"));
    let before = std::fs::read_to_string(&file)?;
    let secrets: Api<Secret> =
        Api::namespaced(testbed.client().await?, &node_namespace(node.name()));
    secrets
        .delete(certificate::NODE, &DeleteParams::default())
        .await?;
    // Whoever leads next looks at every Secret.
    let leader = testbed.operator_pods().await?.into_iter().next();
    leader.context("nobody leads")?.kill9().await?;
    wait_for(
        "the agent to have another certificate",
        2 * SOON,
        async || {
            let now = std::fs::read_to_string(&file)?;
            Ok(Seen::when(now != before, "it has the same"))
        },
    )
    .await?;
    // Somebody makes it look elsewhere: the agent puts that right, and it connects anew, as who it is now.
    let elsewhere = "external_ids:ovn-remote=\"tcp:127.0.0.1:1\"";
    node.exec([
        "ovs-vsctl",
        "--no-wait",
        "set",
        "Open_vSwitch",
        ".",
        elsewhere,
    ])
    .await?;
    let told = [
        "ovs-vsctl",
        "get",
        "Open_vSwitch",
        ".",
        "external_ids:ovn-remote",
    ];
    let right = format!("ssl:{}", southbound(testbed).await?);
    wait_for("the agent to put it right", SOON, async || {
        let now = node.exec(told).await?;
        Ok(Seen::when(now.contains(&right), now))
    })
    .await?;
    let wait = ["--wait=hv", "--timeout=60", "sync"];
    testbed.ovn().nbctl(wait).await?;
    ensure!(testbed.part("n1/ovn-controller")?.process() == controller);
    Ok(())
}
