//! The realiser with a real northbound database: what it writes, what it leaves alone, what it puts right, and what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::StreamExt;
use kilonova::api::port::{Bandwidth, Qos};
use kilonova::cluster::metrics::registry;
use kilonova::network::metrics::NorthboundMetrics;
use kilonova::network::plan::northbound::tables::KINDS;
use kilonova::network::plan::topology::Topology;
use kilonova::network::realiser::{Realiser, RealiserSettings, Standing, StandingChange};
use tokio::time;

use super::central::{Central, SOON};
use super::cloud::{large, random, shop};

fn start(central: &Central) -> Realiser {
    Realiser::start(RealiserSettings {
        endpoints: vec![central.endpoint()],
        tls: None,
        metrics: NorthboundMetrics::new(&mut registry()),
    })
}

/// Waits until an object stands as it should.
async fn until(realiser: &Realiser, uid: &str, is: impl Fn(&Standing) -> bool) -> Result<Standing> {
    let mut changes = Box::pin(realiser.changes());
    let reached = async {
        loop {
            let standing = realiser.standing(uid);
            if is(&standing) {
                return Ok(standing);
            }
            let change = changes.next().await;
            anyhow::ensure!(change.is_some(), "the realiser has gone");
        }
    };
    let found = time::timeout(SOON, reached).await;
    found.with_context(|| format!("{uid} stays {:?}", realiser.standing(uid)))?
}

async fn written(realiser: &Realiser, topology: &Arc<Topology>) -> Result<()> {
    realiser.want(Arc::clone(topology));
    let desired = kilonova::network::plan::northbound::compile(topology);
    for uid in desired.uids() {
        until(realiser, uid, |standing| *standing == Standing::Written).await?;
    }
    Ok(())
}

/// All rows with our marks, without UUIDs, one a line.
fn rows(central: &Central) -> Result<BTreeSet<String>> {
    let mut rows = BTreeSet::new();
    for kind in KINDS {
        let words = ["--bare", "--columns=external_ids", "list", kind.name()];
        let text = central.nbctl(&words)?;
        let lines = text
            .lines()
            .filter(|line| line.contains("kilonova.dev/key="));
        for line in lines {
            assert!(
                rows.insert(format!("{} {line}", kind.name())),
                "{line} is there twice"
            );
        }
    }
    Ok(rows)
}

async fn until_rows(central: &Central, count: usize) -> Result<BTreeSet<String>> {
    let begun = time::Instant::now();
    loop {
        let rows = rows(central)?;
        if rows.len() == count {
            return Ok(rows);
        }
        anyhow::ensure!(
            begun.elapsed() < SOON,
            "{} rows, and not {count}",
            rows.len()
        );
        time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_is_written_once_and_put_right_when_it_is_spoilt() -> Result<()> {
    let central = Central::northbound().await?;
    let topology = Arc::new(shop());
    let wanted = kilonova::network::plan::northbound::compile(&topology).len();
    central.nbctl(&["ls-add", "theirs", "--", "lsp-add", "theirs", "their-port"])?;
    let realiser = start(&central);
    written(&realiser, &topology).await?;
    let right = until_rows(&central, wanted).await?;
    assert_eq!(realiser.standing("nobody"), Standing::Absent);
    assert_eq!(realiser.trouble(), None);

    // Another one finds nothing to do: nothing has changed when it says that all is written.
    let before = central.nbctl(&["--columns=_version", "list", "Logical_Switch_Port"]);
    drop(realiser);
    let realiser = start(&central);
    written(&realiser, &topology).await?;
    assert_eq!(
        before.ok(),
        central
            .nbctl(&["--columns=_version", "list", "Logical_Switch_Port"])
            .ok()
    );

    for hand in [
        vec!["lsp-del", "web-1"],
        vec!["ls-del", "web"],
        vec!["lr-del", "router-edge"],
        vec!["clear", "Logical_Switch_Port", "web-2", "external_ids"],
        vec!["clear", "Port_Group", "pg_http", "acls"],
        vec!["pg-del", "guard_web"],
        vec!["clear", "Logical_Switch", "db", "external_ids"],
        vec!["clear", "Logical_Switch", "db", "dns_records"],
    ] {
        central.nbctl(&hand).with_context(|| format!("{hand:?}"))?;
        let again = until_rows(&central, wanted)
            .await
            .with_context(|| format!("{hand:?}"))?;
        assert_eq!(again, right, "{hand:?}");
    }
    // A rule that somebody hangs on a group of ours goes again; a mark of theirs on a row of ours stays.
    central.nbctl(&["acl-add", "pg_http", "to-lport", "2000", "ip", "allow"])?;
    central.nbctl(&[
        "set",
        "Logical_Switch_Port",
        "web-1",
        "external_ids:theirs=yes",
    ])?;
    central.nbctl(&["set", "Logical_Switch_Port", "web-1", "addresses=unknown"])?;
    let begun = time::Instant::now();
    loop {
        let acls = central.nbctl(&["acl-list", "pg_http"])?;
        let addresses = central.nbctl(&["lsp-get-addresses", "web-1"])?;
        if !acls.contains("2000") && addresses.contains("10.0.1.11") {
            break;
        }
        anyhow::ensure!(begun.elapsed() < SOON, "{acls} {addresses}");
        time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let theirs = ["get", "Logical_Switch_Port", "web-1", "external_ids:theirs"];
    assert_eq!(central.nbctl(&theirs)?.trim(), "yes");

    realiser.want(Arc::new(Topology::default()));
    until_rows(&central, 0).await?;
    until(&realiser, "web", |standing| *standing == Standing::Absent).await?;
    assert!(
        central
            .nbctl(&["lsp-list", "theirs"])?
            .contains("their-port")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wanted_next_comes_of_what_there_is() -> Result<()> {
    let central = Central::northbound().await?;
    let realiser = start(&central);
    let mut seed = 7_usize;
    let mut choose = |below: usize| {
        // Numbers that look random and are the same in every run (Numerical Recipes' generator).
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % (1 << 32);
        (seed >> 16) % below
    };
    for _ in 0..25 {
        let topology = Arc::new(random(&mut choose));
        written(&realiser, &topology).await?;
        let desired = kilonova::network::plan::northbound::compile(&topology);
        until_rows(&central, desired.len()).await?;
    }
    realiser.want(Arc::new(Topology::default()));
    until_rows(&central, 0).await?;
    let left = central.nbctl(&["--bare", "--columns=name", "list", "Logical_Switch_Port"])?;
    assert_eq!(left.trim(), "");
    Ok(())
}

fn limit(topology: &mut Topology, port: &str, max_kbps: Option<u32>) {
    let mut ports = topology
        .switches
        .values_mut()
        .filter_map(|switch| switch.ports.get_mut(port));
    if let Some(port) = ports.next() {
        let egress = max_kbps.map(|max_kbps| Bandwidth {
            max_kbps,
            max_burst_kbits: None,
        });
        port.qos = Some(Qos {
            ingress: None,
            egress,
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_database_refuses_keeps_nobody_else_waiting() -> Result<()> {
    let central = Central::northbound().await?;
    let realiser = start(&central);
    let mut topology = large(4, 20, 3);
    // A limit of nothing is none to the database.
    let bad = "00000004-0000-4000-8000-000000000021";
    limit(&mut topology, bad, Some(0));
    // And one whose name is taken, which the database finds out at the end only.
    let taken = "00000004-0000-4000-8000-000000000007";
    central.nbctl(&["ls-add", "theirs", "--", "lsp-add", "theirs", taken])?;
    realiser.want(Arc::new(topology.clone()));
    let failed = |standing: &Standing| matches!(standing, Standing::Failed(_));
    for uid in [bad, taken] {
        let standing = until(&realiser, uid, failed).await?;
        let words = format!("{standing:?}");
        assert!(words.contains("constraint violation"), "{words}");
    }
    let ports = topology
        .switches
        .values()
        .flat_map(|switch| switch.ports.keys());
    for uid in ports
        .clone()
        .filter(|uid| ![bad, taken].contains(&uid.as_str()))
    {
        until(&realiser, uid, |standing| *standing == Standing::Written).await?;
    }
    // It is tried again now and then, without anybody asking.
    central.nbctl(&["ls-del", "theirs"])?;
    until(&realiser, taken, |standing| *standing == Standing::Written).await?;
    // And as soon as it is another.
    limit(&mut topology, bad, Some(100));
    realiser.want(Arc::new(topology));
    until(&realiser, bad, |standing| *standing == Standing::Written).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_is_up_when_ovn_says_so_and_nobody_knows_without_a_database() -> Result<()> {
    let central = Central::northbound().await?;
    let realiser = start(&central);
    written(&realiser, &Arc::new(shop())).await?;
    let mut changes = Box::pin(realiser.changes());
    central.nbctl(&["set", "Logical_Switch_Port", "web-1", "up=true"])?;
    let heard = async {
        while let Some(change) = changes.next().await {
            // That it was written may be told only now.
            let is_told = change == StandingChange::One("web-1".to_owned());
            if is_told && realiser.standing("web-1") == Standing::Up {
                return true;
            }
        }
        false
    };
    assert!(time::timeout(SOON, heard).await?);
    assert_eq!(realiser.standing("web-2"), Standing::Written);
    central.nbctl(&["set", "Logical_Switch_Port", "web-1", "up=false"])?;
    until(&realiser, "web-1", |standing| {
        *standing == Standing::Written
    })
    .await?;
    drop(central);
    let unknown = |standing: &Standing| matches!(standing, Standing::Unknown(_));
    until(&realiser, "web-1", unknown).await?;
    assert!(realiser.trouble().is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_ports_share_transactions() -> Result<()> {
    let central = Central::northbound().await?;
    let mut registry = registry();
    let realiser = Realiser::start(RealiserSettings {
        endpoints: vec![central.endpoint()],
        tls: None,
        metrics: NorthboundMetrics::new(&mut registry),
    });
    written(&realiser, &Arc::new(large(10, 100, 10))).await?;
    let ports = central.nbctl(&["--bare", "--columns=name", "list", "Logical_Switch_Port"])?;
    // Each of the ten networks has one for metadata, too.
    assert_eq!(ports.split_whitespace().count(), 1010);
    let told = registry.encode()?;
    let done = told
        .lines()
        .find(|line| line.contains("northbound_transactions") && line.contains("\"done\""));
    let done: usize = done
        .and_then(|line| line.split(' ').next_back())
        .context("it is told")?
        .parse()?;
    assert!((1..=5).contains(&done), "{done} transactions");
    Ok(())
}
