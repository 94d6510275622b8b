//! How soon a server runs again after its QEMU was killed.
//!
//! A guest is killed only when it has been up for a while: what dies young is started again less and less eagerly,
//! and that is not what is measured.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::json;

use super::bare::GUESTS;
use super::cloud::{Asked, Cloud, DEADLINE, is_ready, named};
use super::machine::Machine;
use super::report::{Bar, Figures, Report, Table};
use super::statistics::{Spread, milliseconds};
use super::watch::Sighting;
use crate::images::console;
use crate::node::Node;
use crate::process::{ProcessId, find_in_namespace};
use crate::progress::Progress;
use crate::testbed::Testbed;
use crate::wait::{Seen, wait_for};

/// Longer than the 5 s below which the agent takes a guest's end for a quick failure.
const STEADY: Duration = Duration::from_secs(6);
const P99_MS_MAX: f64 = 2_000.0;

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Options {
    /// How many kills.
    pub count: usize,
    /// Of how many servers, in turn.
    pub servers: usize,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Kills {
    /// What was measured.
    pub options: Options,
    /// From just before the kill until the Server is seen Running again, with one restart more.
    pub again: Spread,
    /// Each kill, in their order, in milliseconds.
    pub again_ms: Vec<f64>,
}

/// A server that is killed now and then.
struct Victim {
    asked: Asked,
    node: Node,
    restarts: i64,
    /// The boot that was up last, as the guest counts on its disk.
    boot: u64,
}

/// Measures.
pub async fn run(
    testbed: &Testbed,
    options: Options,
    progress: &Progress,
) -> Result<Report<Kills>> {
    ensure!(options.servers > 0, "kills need at least one server");
    let machine = Machine::look(testbed).await?;
    let step = progress.step(format!("{} servers", options.servers));
    let cloud = Cloud::prepare(testbed).await?;
    let mut victims = Vec::new();
    for number in 0..options.servers {
        victims.push(Victim::raise(testbed, &cloud, number).await?);
    }
    step.done();
    let step = progress.step(format!("{} kills", options.count));
    let mut again = Vec::new();
    for number in 0..options.count {
        step.message(format!("{number} of {}", options.count));
        let victim = &mut victims[number % options.servers];
        victim.wait_up().await?;
        again.push(victim.kill().await?);
    }
    step.done();
    cloud.clear().await?;
    let figures = Kills {
        options,
        again: Spread::of(again.iter().copied()),
        again_ms: again.into_iter().map(milliseconds).collect(),
    };
    let bar = Bar::at_most(
        "QEMU killed to Running again, p99",
        figures.again.p99_ms,
        P99_MS_MAX,
        "ms",
    );
    Ok(Report {
        bench: "kills",
        machine: machine.look_again(),
        figures,
        bars: vec![bar],
    })
}

impl Victim {
    async fn raise(testbed: &Testbed, cloud: &Cloud, number: usize) -> Result<Self> {
        let always = json!({"restartPolicy": "Always"});
        let mut asked = cloud.create(&format!("k-{number}"), &always).await?;
        let seen = asked.ready("ACTIVE").await?;
        let node = seen.object.data["status"]["node"].as_str();
        Ok(Self {
            node: testbed.node(node.context("a server runs without a node")?)?,
            restarts: restarts(&seen),
            boot: 0,
            asked,
        })
    }

    /// Waits until the guest has been up for a while: in a boot of its own, since the log holds earlier ones, too.
    async fn wait_up(&mut self) -> Result<()> {
        let log = format!("{GUESTS}/{}/console.log", self.asked.uid);
        let up = OnceLock::new();
        let what = format!("server {} to be up", self.asked.name);
        wait_for(&what, DEADLINE, async || {
            let bytes = std::fs::read(self.node.path_of(&log)).unwrap_or_default();
            let report = console::parse(&String::from_utf8_lossy(&bytes));
            let Some(boot) = report
                .up()
                .map(|up| up.boot)
                .filter(|&boot| boot > self.boot)
            else {
                return Ok(Seen::NotYet("it boots".to_owned()));
            };
            let (_, since): &(u64, Instant) = up.get_or_init(|| (boot, Instant::now()));
            Ok(Seen::when(since.elapsed() >= STEADY, "it is up, but young"))
        })
        .await?;
        self.boot = up.get().map_or(self.boot, |(boot, _)| *boot);
        Ok(())
    }

    /// Kills its QEMU and waits until the server runs again.
    async fn kill(&mut self) -> Result<Duration> {
        let domain = format!("kilonova-{}", self.asked.uid);
        let file = self.node.path_of(format!("/run/libvirt/qemu/{domain}.pid"));
        let inner = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let pid = find_in_namespace(self.node.init()?, inner.trim().parse()?)?;
        ensure!(
            ProcessId::of(pid)?.is_alive(),
            "the guest has ended by itself"
        );
        let pid = Pid::from_raw(pid).context("not a pid")?;
        let (name, before) = (self.asked.name.clone(), self.restarts);
        let killed = Instant::now();
        kill_process(pid, Signal::KILL).context("failed to kill QEMU")?;
        let again = |seen: &Sighting| {
            named(seen, &name) && is_ready(seen, "ACTIVE") && restarts(seen) > before
        };
        let what = format!("server {name} to run again");
        let seen = self.asked.listener.until(&what, DEADLINE, again).await?;
        self.restarts = restarts(&seen);
        Ok(seen.at.duration_since(killed))
    }
}

fn restarts(seen: &Sighting) -> i64 {
    seen.object.data["status"]["restarts"]
        .as_i64()
        .unwrap_or_default()
}

impl Figures for Kills {
    fn tables(&self) -> Vec<Table> {
        let title = format!(
            "{} kills of {} servers in turn",
            self.options.count, self.options.servers
        );
        let mut table = Table::new(title, std::iter::once("WHAT").chain(Spread::HEADER));
        let what = "kill -9 of QEMU to Running again".to_owned();
        table.row(std::iter::once(what).chain(self.again.cells()));
        vec![table]
    }
}
