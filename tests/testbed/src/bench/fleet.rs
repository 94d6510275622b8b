//! What many servers at once cost: the operator's memory, and the time until all are there, and gone.
//!
//! Most of them are off: a hundred emulated guests would measure the machine. To the operator a server that is off
//! is as much work as one that runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use super::cloud::Cloud;
use super::machine::Machine;
use super::report::{Bar, Figures, Report, Table};
use super::statistics::Spread;
use super::usage::{self, Meter, Usage};
use super::writes::{Span, Writes};
use crate::progress::Progress;
use crate::testbed::Testbed;

const OPERATOR_MIB_MAX: f64 = 40.0;

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Options {
    /// How many servers.
    pub count: usize,
    /// How many of them run.
    pub running: usize,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Fleet {
    /// What was measured.
    pub options: Options,
    /// From the first create request until every server was as asked, in seconds.
    pub as_asked_seconds: f64,
    /// From the first delete request until every server was gone, in seconds.
    pub gone_seconds: f64,
    /// Of each server: from its create request until it was as asked.
    pub each: Spread,
    /// What was written.
    pub writes: Writes,
    /// What it cost, with all servers there.
    pub usage: Vec<Usage>,
    /// What it cost in all, with all servers gone again.
    pub usage_after: Vec<Usage>,
}

/// Measures.
pub async fn run(
    testbed: &Testbed,
    options: Options,
    progress: &Progress,
) -> Result<Report<Fleet>> {
    let machine = Machine::look(testbed).await?;
    let cloud = Cloud::prepare(testbed).await?;
    let promised = cloud.overcommit().await?;
    let measured = measure(testbed, &cloud, options, progress).await;
    for (hypervisor, before) in promised {
        cloud.promise(&hypervisor, &before).await?;
    }
    let figures = measured?;
    let operator = usage::operator(&figures.usage).context("there is no operator")?;
    let bar = Bar::at_most(
        "operator's resident memory with all servers",
        operator.rss_mib,
        OPERATOR_MIB_MAX,
        "MiB",
    );
    Ok(Report {
        bench: "fleet",
        machine: machine.look_again(),
        bars: vec![bar],
        figures,
    })
}

async fn measure(
    testbed: &Testbed,
    cloud: &Cloud,
    options: Options,
    progress: &Progress,
) -> Result<Fleet> {
    let meter = Meter::begin(testbed).await?;
    let step = progress.step(format!("{} servers", options.count));
    let began = Instant::now();
    let wanted = (0..options.count).map(|number| one(cloud, number, options));
    let servers = cloud.at_once(wanted).await?;
    let as_asked = began.elapsed();
    let usage = meter.since()?;
    step.done();

    let step = progress.step("removing them");
    let began = Instant::now();
    cloud.clear().await?;
    let gone = began.elapsed();
    let usage_after = meter.since()?;
    step.done();
    let spans: Vec<Span> = servers.iter().map(|(span, _)| span.clone()).collect();
    Ok(Fleet {
        options,
        as_asked_seconds: as_asked.as_secs_f64(),
        gone_seconds: gone.as_secs_f64(),
        each: Spread::of(servers.iter().map(|(_, took)| *took)),
        writes: Writes::count(&testbed.audit_log()?, &spans),
        usage,
        usage_after,
    })
}

async fn one(cloud: &Cloud, number: usize, options: Options) -> Result<(Span, Duration)> {
    let (power, state) = if number < options.running {
        ("Running", "ACTIVE")
    } else {
        ("Stopped", "SHUTOFF")
    };
    let spec = json!({"powerState": power});
    let mut asked = cloud.create(&format!("f-{number}"), &spec).await?;
    let seen = asked.ready(state).await?;
    let span = Span {
        name: asked.name,
        uid: asked.uid,
        from: asked.time,
        to: seen.time,
    };
    Ok((span, seen.at.duration_since(asked.at)))
}

impl Figures for Fleet {
    fn tables(&self) -> Vec<Table> {
        let title = format!(
            "{} servers at once, {} of them running, the others off",
            self.options.count, self.options.running
        );
        let header = ["all as asked s", "all gone s"];
        let mut all = Table::new(title, header);
        all.row([
            format!("{:.1}", self.as_asked_seconds),
            format!("{:.1}", self.gone_seconds),
        ]);
        let header = std::iter::once("WHAT").chain(Spread::HEADER);
        let mut each = Table::new("Each of them, 16 at a time", header);
        let what = "create to as asked".to_owned();
        each.row(std::iter::once(what).chain(self.each.cells()));
        let mut tables = vec![all, each];
        tables.extend(self.writes.tables());
        tables.push(usage::table(&self.usage, self.options.count));
        tables.push(Table {
            title: "The same when all are gone again".to_owned(),
            ..usage::table(&self.usage_after, self.options.count)
        });
        tables
    }
}
