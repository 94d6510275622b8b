//! Up, a second up, failure, repair, down.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, PostParams};
use testbed::{Seen, Testbed, unique_name, wait_for};

use crate::traces::Traces;
use crate::{guest_pid, start_guest};

#[tokio::test]
async fn down_leaves_nothing_behind() -> Result<()> {
    let testbed = Testbed::builder(unique_name("trace"))
        .nodes(2)
        .guarded()
        .up()
        .await?;
    for node in testbed.nodes()? {
        start_guest(&node).await?;
        for folder in ["/var/lib", "/etc"] {
            let own = format!("{folder}/{}", testbed.name());
            node.exec(["mkdir", &own]).await?;
            assert!(!Path::new(&own).exists(), "{own} is the node's alone");
        }
    }
    let objects: Api<Node> = Api::all(testbed.client().await?);
    for name in ["n1", "n2"] {
        let labels = objects
            .get(name)
            .await?
            .metadata
            .labels
            .context("no labels")?;
        assert_eq!(labels["kilonova.dev/hypervisor"], "true");
    }
    let traces = Traces::of(&testbed)?;
    // Control plane 3, OVN 3, outside 1, image server 1; on each node unshare, tini, sleep, 3 daemons of libvirt's, a QEMU,
    // 3 of the switch's.
    assert!(traces.processes() >= 8 + 2 * 10, "{}", traces.processes());
    let found = traces.left()?;
    for kind in ["process ", "link ", "/ns/mnt", "/cgroup/"] {
        let seen = found.iter().any(|trace| trace.contains(kind));
        assert!(seen, "{kind} is looked for: {found:?}");
    }
    testbed.down().await?;
    traces.wait_gone().await
}

#[tokio::test]
async fn guests_are_unprivileged() -> Result<()> {
    let testbed = Testbed::builder(unique_name("hard"))
        .nodes(1)
        .guarded()
        .up()
        .await?;
    let node = testbed.node("n1")?;
    let pid = start_guest(&node).await?;
    let status = node
        .exec(["cat", &format!("/proc/{}/status", pid.trim())])
        .await?;
    for (field, expected) in [
        ("CapEff", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{field}:")));
        assert_eq!(line.map(str::trim), Some(expected), "{field}");
    }
    let user = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .context("no Uid")?;
    assert!(!user.split_whitespace().any(|uid| uid == "0"), "{user}");
    testbed.down().await
}

#[tokio::test]
async fn a_second_up_changes_nothing_and_repairs_what_died() -> Result<()> {
    let name = unique_name("again");
    let testbed = Testbed::builder(&name).nodes(1).guarded().up().await?;
    let guest = start_guest(&testbed.node("n1")?).await?;
    write_config_map(&testbed, "before").await?;
    let first = pids(&testbed)?;
    Testbed::builder(&name).nodes(1).up().await?;
    assert_eq!(pids(&testbed)?, first, "nothing was restarted");

    for part in testbed
        .parts()?
        .iter()
        .filter(|part| part.name() != "n1/init")
    {
        part.kill9().await?;
        assert!(part.process().is_none(), "{} is dead", part.name());
    }
    // The same arguments again, without `up`; etcd still has its data.
    testbed.part("etcd")?.start().await?;
    testbed.part("kube-apiserver")?.start().await?;
    let client = testbed.client().await?;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    wait_for("the API server", Duration::from_mins(1), async || {
        Ok(Seen::of(maps.get("before").await.map_err(Into::into)))
    })
    .await?;
    Testbed::builder(&name).nodes(1).up().await?;
    let second = pids(&testbed)?;
    assert!(second.values().all(Option::is_some), "{second:?}");
    assert_eq!(
        guest_pid(&testbed.node("n1")?).await?,
        guest,
        "the guest outlived libvirtd"
    );
    let written = testbed.audit_log()?;
    assert!(written.iter().any(|write| {
        write.verb == "create"
            && write.user.username == "devstack-admin"
            && write
                .object_ref
                .as_ref()
                .is_some_and(|object| object.resource == "configmaps")
    }));
    testbed.down().await
}

#[tokio::test]
async fn testbeds_run_side_by_side() -> Result<()> {
    let one = Testbed::builder(unique_name("side")).nodes(1).guarded();
    let two = Testbed::builder(unique_name("side")).nodes(1).guarded();
    let (one, two) = tokio::try_join!(one.up(), two.up())?;
    assert_ne!(one.host_address(), two.host_address());
    let uuid = async |testbed: &Testbed| {
        testbed
            .node("n1")?
            .exec(["sh", "-c", "virsh capabilities | grep -m1 uuid"])
            .await
    };
    assert_ne!(uuid(&one).await?, uuid(&two).await?);
    write_config_map(&one, "mine").await?;
    one.down().await?;
    let maps: Api<ConfigMap> = Api::namespaced(two.client().await?, "default");
    assert!(maps.get_opt("mine").await?.is_none());
    start_guest(&two.node("n1")?).await?;
    two.down().await
}

#[tokio::test]
async fn a_node_loses_its_power_and_boots() -> Result<()> {
    let name = unique_name("power");
    let testbed = Testbed::builder(&name).nodes(2).guarded().up().await?;
    let (node, other) = (testbed.node("n1")?, testbed.node("n2")?);
    start_guest(&node).await?;
    node.power_off().await?;
    ensure!(node.exec(["true"]).await.is_err(), "the node is off");
    assert!(
        node.path_of("/var/log/libvirt/qemu/probe.log").exists(),
        "its logs can be read"
    );
    let ping = ["busybox", "ping", "-c", "1", "-W", "1", "n1"];
    assert!(other.exec(ping).await.is_err());
    testbed.boot("n1").await?;
    answers(&other, ping).await?;
    assert!(guest_pid(&node).await.is_err(), "its guests are gone");
    assert!(
        node.exec(["busybox", "ping", "-c", "1", "-W", "1", "192.0.2.1"])
            .await
            .is_err()
    );
    // Nobody tidies up behind this one, so it is for the kernel to remove its links.
    testbed.part("n1/init")?.kill9().await?;
    wait_for(
        "the end of its network",
        Duration::from_secs(20),
        async || {
            let answer = other.exec(ping).await;
            Ok(Seen::when(answer.is_err(), "it answers"))
        },
    )
    .await?;
    Testbed::builder(&name).nodes(2).up().await?;
    answers(&other, ping).await?;
    testbed.down().await
}

/// On a busy machine the first answer may take longer than one ping waits.
async fn answers(node: &testbed::Node, ping: [&str; 7]) -> Result<()> {
    wait_for("an answer to a ping", Duration::from_secs(20), async || {
        Ok(Seen::of(node.exec(ping).await.map(drop)))
    })
    .await
}

#[tokio::test]
async fn a_failed_up_is_undone_and_keeps_its_logs() -> Result<()> {
    let name = unique_name("fail");
    let failed = Testbed::builder(&name)
        .nodes(1)
        .kilonova("/bin/false")
        .guarded()
        .up()
        .await;
    let message = format!(
        "{:#}",
        failed
            .err()
            .context("a binary that always fails is no kilonova")?
    );
    assert!(message.contains("/bin/false crds"), "{message}");
    let kept = message
        .split_whitespace()
        .find_map(|word| word.strip_prefix("/var/lib/kilonova/failed/"));
    let kept = Path::new("/var/lib/kilonova/failed")
        .join(kept.context("no folder is named")?.trim_end_matches(':'));
    assert!(
        kept.join("parts/kube-apiserver.log").exists(),
        "{}",
        kept.display()
    );
    assert!(!Path::new("/var/lib/kilonova/devstack").join(&name).exists());
    std::fs::remove_dir_all(kept)?;
    Ok(())
}

async fn write_config_map(testbed: &Testbed, name: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(testbed.client().await?, "default");
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    maps.create(&PostParams::default(), &map).await?;
    Ok(())
}

fn pids(testbed: &Testbed) -> Result<BTreeMap<String, Option<i32>>> {
    let parts = testbed.parts()?.into_iter();
    Ok(parts
        .map(|part| {
            (
                part.name().to_owned(),
                part.process().map(|process| process.pid),
            )
        })
        .collect())
}
