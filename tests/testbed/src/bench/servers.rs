//! How long a server takes from create to Running, beside define and start of the same domain by libvirt alone.
//!
//! Both take turns on one node, so that whatever else the machine does meets both.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use serde::Serialize;

use super::bare::Bare;
use super::cloud::{Cloud, pinned};
use super::machine::Machine;
use super::report::{Bar, Figures, Report, Table};
use super::statistics::{Spread, milliseconds};
use super::usage::{self, Meter, Usage};
use super::writes::{Span, Writes};
use crate::node::Node;
use crate::progress::Progress;
use crate::testbed::Testbed;

const ADDED_MS_MAX: f64 = 150.0;
const WRITES_MAX: f64 = 6.0;

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Options {
    /// How many servers.
    pub count: usize,
    /// How many at once.
    pub concurrency: usize,
    /// How many rounds before those that count: the first server on a node waits for its image.
    pub warmup: usize,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Servers {
    /// What was measured.
    pub options: Options,
    /// The node on which all of it happened.
    pub node: String,
    /// From just before the create request until the Server is seen Running.
    pub kilonova: Spread,
    /// Define and start by libvirt alone.
    pub libvirt: Spread,
    /// What Kilonova takes more, median to median.
    pub added_p50_ms: f64,
    /// How many times as long, median to median.
    pub ratio_p50: f64,
    /// Each server, in the order in which they were made, in milliseconds.
    pub kilonova_ms: Vec<f64>,
    /// Each bare domain, in the same order.
    pub libvirt_ms: Vec<f64>,
    /// What was written.
    pub writes: Writes,
    /// What it cost.
    pub usage: Vec<Usage>,
}

/// Measures.
pub async fn run(
    testbed: &Testbed,
    options: Options,
    progress: &Progress,
) -> Result<Report<Servers>> {
    let machine = Machine::look(testbed).await?;
    let node = testbed.nodes()?.into_iter().next();
    let node = node.context("this testbed has no nodes")?;
    let step = progress.step("the project, the image and the warm-up");
    let cloud = Cloud::prepare(testbed).await?;
    let mut lanes =
        try_join_all((0..options.concurrency).map(|lane| learn(&cloud, &node, lane))).await?;
    for number in 0..options.warmup {
        round(&cloud, &node, &mut lanes, &format!("warm-{number}")).await?;
    }
    step.done();

    let step = progress.step(format!("{} servers", options.count));
    let meter = Meter::begin(testbed).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..options.count.div_ceil(options.concurrency.max(1)) {
        step.message(format!("{} of {}", ours.len(), options.count));
        let (servers, domains) = round(&cloud, &node, &mut lanes, &format!("s-{number}")).await?;
        ours.extend(servers);
        theirs.extend(domains);
    }
    let usage = meter.since()?;
    step.done();
    for lane in lanes {
        lane.clear().await?;
    }
    let spans: Vec<Span> = ours.iter().map(|(span, _)| span.clone()).collect();
    let writes = Writes::count(&testbed.audit_log()?, &spans);
    let took: Vec<Duration> = ours.iter().map(|(_, took)| *took).collect();
    let figures = Servers::of(options, &node, &took, &theirs, writes, usage);
    Ok(Report {
        bench: "servers",
        machine: machine.look_again(),
        bars: figures.bars(),
        figures,
    })
}

/// A server to learn from, and gone again.
async fn learn(cloud: &Cloud, node: &Node, lane: usize) -> Result<Bare> {
    let mut asked = cloud
        .create(&format!("model-{lane}"), &pinned(node))
        .await?;
    asked.ready("ACTIVE").await?;
    let bare = Bare::learn(node, &asked.uid, lane).await?;
    cloud.delete(&asked.name).await?;
    Ok(bare)
}

/// One server in each lane, then one bare domain in each.
async fn round(
    cloud: &Cloud,
    node: &Node,
    lanes: &mut [Bare],
    name: &str,
) -> Result<(Vec<(Span, Duration)>, Vec<Duration>)> {
    let servers = (0..lanes.len()).map(|lane| one(cloud, node, format!("{name}-{lane}")));
    let servers = try_join_all(servers).await?;
    let deleted = servers.iter().map(|(span, _)| cloud.delete(&span.name));
    try_join_all(deleted).await?;
    let domains = try_join_all(lanes.iter_mut().map(Bare::round)).await?;
    Ok((servers, domains))
}

async fn one(cloud: &Cloud, node: &Node, name: String) -> Result<(Span, Duration)> {
    let mut asked = cloud.create(&name, &pinned(node)).await?;
    let seen = asked.ready("ACTIVE").await?;
    let span = Span {
        name,
        uid: asked.uid,
        from: asked.time,
        to: seen.time,
    };
    Ok((span, seen.at.duration_since(asked.at)))
}

impl Servers {
    fn of(
        options: Options,
        node: &Node,
        ours: &[Duration],
        theirs: &[Duration],
        writes: Writes,
        usage: Vec<Usage>,
    ) -> Self {
        let kilonova = Spread::of(ours.iter().copied());
        let libvirt = Spread::of(theirs.iter().copied());
        let each = |all: &[Duration]| all.iter().copied().map(milliseconds).collect();
        Self {
            options,
            node: node.name().to_owned(),
            added_p50_ms: kilonova.p50_ms - libvirt.p50_ms,
            ratio_p50: kilonova.p50_ms / libvirt.p50_ms,
            kilonova,
            libvirt,
            kilonova_ms: each(ours),
            libvirt_ms: each(theirs),
            writes,
            usage,
        }
    }

    fn bars(&self) -> Vec<Bar> {
        let most = u32::try_from(self.writes.most_per_server).unwrap_or(u32::MAX);
        let added = Bar::at_most(
            "create to Running minus bare libvirt, p50, one at a time",
            self.added_p50_ms,
            ADDED_MS_MAX,
            "ms",
        );
        let writes = Bar::at_most(
            "writes for a server, create to Running, at most",
            f64::from(most),
            WRITES_MAX,
            "writes",
        );
        let one_at_a_time = self.options.concurrency == 1;
        one_at_a_time
            .then_some(added)
            .into_iter()
            .chain([writes])
            .collect()
    }
}

impl Figures for Servers {
    fn tables(&self) -> Vec<Table> {
        let title = format!(
            "{} servers, {} at a time, on {}",
            self.options.count, self.options.concurrency, self.node
        );
        let header = std::iter::once("WHAT").chain(Spread::HEADER);
        let mut times = Table::new(title, header);
        for (what, spread) in [
            ("Kilonova: create to Running", &self.kilonova),
            ("libvirt alone: define + start", &self.libvirt),
        ] {
            times.row(std::iter::once(what.to_owned()).chain(spread.cells()));
        }
        let mut more = Table::new("Kilonova takes more", ["p50 ms", "p50 ratio"]);
        more.row([
            format!("{:.1}", self.added_p50_ms),
            format!("{:.2}", self.ratio_p50),
        ]);
        let mut tables = vec![times, more];
        tables.extend(self.writes.tables());
        tables.push(usage::table(&self.usage, self.kilonova.count));
        tables
    }
}
