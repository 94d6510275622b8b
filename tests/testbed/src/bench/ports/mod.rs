//! Many ports, all in one go, in a cloud that has many: until each has its addresses and its rows in OVN's northbound
//! database, and until each has its flows (`ovn-installed`) on the node that it is plugged in at. Beside it the same by
//! hand, one `ovn-nbctl` for each port, in the same cloud and with the operator stopped; and one for all of them, which is
//! what OVN itself takes at least.
//!
//! ```text
//!   make ─┬─► rows ───► addresses, Ready                by the operator
//!         └─ all asked for: plugged in ──► ovn-installed
//!
//!   plugged in ─ make ───► rows ──► ovn-installed       by hand
//! ```
//!
//! A port has no server here: its NIC is an interface of the node's switch, which is what ovn-controller sees of a guest. It
//! is plugged in as soon as the port's name in OVN is known, so that OVN waits for nobody: by hand that is before anything is
//! made, and with the operator when the API server, which makes the names, has answered the last request.
//!
//! Of each project one of the ports that are there before is plugged in on each node: nodes know all networks, as they do
//! that have been in use. Without it either way would measure how a node learns of twenty networks at once, and not even that
//! truly: OVN 23.03 seems to say `ovn-installed` of a network's first port before the network's flows have come to the node.

mod cloud;
mod marks;
mod peer;
mod plugs;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Serialize;

use self::cloud::Cloud;
use self::marks::Marks;
use self::plugs::Plugs;
use super::machine::Machine;
use super::report::{Bar, Figures, Report, Table};
use super::usage::{Meter, Usage};
use super::writes::{Count, Span, Writes};
use crate::command::command;
use crate::kilonova::OPERATOR;
use crate::node::Node;
use crate::progress::Progress;
use crate::testbed::Testbed;

const DEADLINE: Duration = Duration::from_mins(10);
/// How many of the ports that there are before come at once.
const EXISTING_AT_ONCE: usize = 1000;
/// What the project asks of itself: so many times as fast as by hand.
const TIMES_MIN: f64 = 10.0;
/// What works for a port on this machine itself.
const CENTRAL: [&str; 5] = ["kube-apiserver", "etcd", "ovn-nb", "ovn-northd", "ovn-sb"];
/// And on the node.
const ON_NODE: [&str; 3] = ["ovn-controller", "ovs-vswitchd", "ovsdb-server"];

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Options {
    /// How many ports.
    pub count: usize,
    /// How many there are before.
    pub existing: usize,
    /// Over how many projects they are spread.
    pub projects: usize,
}

/// What came out. All in seconds since the first port was asked for, until the last one was there.
#[derive(Debug, Serialize)]
pub struct Ports {
    /// What was measured.
    pub options: Options,
    /// With the operator.
    pub operator: Way,
    /// By hand.
    pub by_hand: Way,
    /// By hand, all in one call: what OVN itself takes at least.
    pub at_once: Way,
}

/// How long one way took.
#[derive(Debug, Serialize)]
pub struct Way {
    /// All requests were answered.
    pub asked_seconds: f64,
    /// All have addresses, as the API server says.
    pub addresses_seconds: Option<f64>,
    /// All are in OVN's northbound database.
    pub rows_seconds: f64,
    /// All are Ready, as the API server says.
    pub ready_seconds: Option<f64>,
    /// All are plugged in.
    pub plugged_seconds: f64,
    /// All have their flows on the node.
    pub installed_seconds: f64,
    /// What it cost.
    pub usage: Vec<Usage>,
    /// What was written to the API server for it.
    pub writes: Vec<Count>,
}

/// Measures.
pub async fn run(
    testbed: &Testbed,
    options: Options,
    progress: &Progress,
) -> Result<Report<Ports>> {
    ensure!(
        !testbed.has_pods()?,
        "this benchmark stops the operator while ports are made by hand: bring the testbed up with --no-pods"
    );
    let machine = Machine::look(testbed).await?;
    let bench = Bench::prepare(testbed, options, progress).await?;
    let measured = bench.measure(progress).await;
    let cleared = bench.clear().await;
    let figures = measured?;
    cleared?;
    let (ours, theirs) = (&figures.operator, &figures.by_hand);
    let bars = vec![
        Bar::at_least(
            "ports/s in northbound, beside by hand",
            theirs.rows_seconds / ours.rows_seconds,
            TIMES_MIN,
            "times",
        ),
        Bar::at_least(
            "time to ovn-installed, beside by hand",
            theirs.installed_seconds / ours.installed_seconds,
            TIMES_MIN,
            "times",
        ),
    ];
    Ok(Report {
        bench: "ports",
        machine: machine.look_again(),
        figures,
        bars,
    })
}

/// Everything that is there before anything is measured.
struct Bench<'a> {
    testbed: &'a Testbed,
    options: Options,
    cloud: Cloud,
    plugs: Plugs,
    /// The ports in the northbound database.
    rows: Marks,
    parts: Vec<String>,
}

impl<'a> Bench<'a> {
    async fn prepare(testbed: &'a Testbed, options: Options, progress: &Progress) -> Result<Self> {
        let step = progress.step(format!("{} ports before", options.existing));
        let cloud = Cloud::prepare(testbed.client().await?, options.projects).await?;
        cloud.clear().await?;
        for count in (EXISTING_AT_ONCE..options.existing).step_by(EXISTING_AT_ONCE) {
            cloud.ensure_ports(count, DEADLINE).await?;
        }
        cloud.ensure_ports(options.existing, DEADLINE).await?;
        step.done();
        let step = progress.step(format!("{} interfaces", options.count));
        let nodes = testbed.nodes()?;
        ensure!(!nodes.is_empty(), "this testbed has no nodes");
        let residents = cloud.residents(options.existing, nodes.len()).await?;
        let here = CENTRAL.map(str::to_owned);
        let on_node = |node: &Node| ON_NODE.map(|part| format!("{}/{part}", node.name()));
        let there = nodes.iter().flat_map(on_node);
        let parts = here.into_iter().chain(there).collect();
        let plugs = Plugs::prepare(nodes, options.count, &residents).await?;
        let ovn = testbed.ovn();
        peer::clear(&ovn, options.count).await?;
        let rows = command([
            "ovsdb-client",
            "--format=json",
            "monitor",
            &ovn.northbound_sockets().await?,
            "OVN_Northbound",
            "Logical_Switch_Port",
            "name",
        ]);
        let rows = Marks::begin(rows, marks::text).await?;
        step.done();
        Ok(Self {
            testbed,
            options,
            cloud,
            plugs,
            rows,
            parts,
        })
    }

    async fn measure(&self, progress: &Progress) -> Result<Ports> {
        let step = progress.step(format!("{} ports by the operator", self.options.count));
        let operator = self.by_operator().await?;
        step.done();
        self.testbed.part(OPERATOR)?.stop().await?;
        let step = progress.step(format!("{} ports by hand", self.options.count));
        let by_hand = self.by_hand(1).await?;
        step.done();
        peer::clear(&self.testbed.ovn(), self.options.count).await?;
        let step = progress.step(format!("{} ports by hand at once", self.options.count));
        let at_once = self.by_hand(self.options.count).await?;
        step.done();
        Ok(Ports {
            options: self.options,
            operator,
            by_hand,
            at_once,
        })
    }

    async fn by_operator(&self) -> Result<Way> {
        self.settle().await?;
        let mut parts = self.parts.clone();
        parts.insert(0, OPERATOR.to_owned());
        let meter = Meter::of_parts(self.testbed, &parts)?;
        let mut listener = self.cloud.listen();
        let (began, from) = (Instant::now(), Timestamp::now());
        let names = self.cloud.make(self.options.count).await?;
        let asked = began.elapsed();
        self.plugs.plug(&names).await?;
        let plugged = began.elapsed();
        let (told, rows, installed) = tokio::try_join!(
            self.cloud.told(&mut listener, &names, DEADLINE),
            self.rows.all("rows of all ports", &names, DEADLINE),
            self.plugs.installed(&names),
        )?;
        let usage = meter.since()?;
        let of_all = Span {
            name: String::new(),
            uid: String::new(),
            from,
            to: Timestamp::now(),
        };
        let since = |at: Instant| at.saturating_duration_since(began).as_secs_f64();
        let way = Way {
            asked_seconds: asked.as_secs_f64(),
            addresses_seconds: Some(since(told.addresses)),
            rows_seconds: last(&rows, began),
            ready_seconds: Some(since(told.ready)),
            plugged_seconds: plugged.as_secs_f64(),
            installed_seconds: last(&installed, began),
            usage,
            writes: Writes::count(&self.testbed.audit_log()?, &[of_all]).others,
        };
        self.plugs.unplug(&names).await?;
        self.cloud.clear().await?;
        let gone = self.rows.none("no rows of deleted ports", &names, DEADLINE);
        gone.await?;
        Ok(way)
    }

    /// So many ports with each call of ovn-nbctl.
    async fn by_hand(&self, at_once: usize) -> Result<Way> {
        let (ovn, count) = (self.testbed.ovn(), self.options.count);
        let noted = peer::note(&ovn, &self.cloud.places().await?).await?;
        let names: Vec<String> = (0..count).map(peer::name).collect();
        self.settle().await?;
        let meter = Meter::of_parts(self.testbed, &self.parts)?;
        let began = Instant::now();
        self.plugs.plug(&names).await?;
        let plugged = began.elapsed();
        for first in (0..count).step_by(at_once) {
            peer::make(&ovn, &noted, first..count.min(first + at_once)).await?;
        }
        let asked = began.elapsed();
        let (rows, installed) = tokio::try_join!(
            self.rows.all("rows of all ports", &names, DEADLINE),
            self.plugs.installed(&names),
        )?;
        let usage = meter.since()?;
        self.plugs.unplug(&names).await?;
        Ok(Way {
            asked_seconds: asked.as_secs_f64(),
            addresses_seconds: None,
            rows_seconds: last(&rows, began),
            ready_seconds: None,
            plugged_seconds: plugged.as_secs_f64(),
            installed_seconds: last(&installed, began),
            usage,
            writes: Vec::new(),
        })
    }

    /// Waits until the node has done all that OVN says so far.
    async fn settle(&self) -> Result<()> {
        let synced = self.testbed.ovn().nbctl(["--wait=hv", "sync"]).await;
        synced.map(drop).context("OVN does not come to rest")
    }

    /// Removes what was measured, whatever of it is there, and gives the operator its work back.
    async fn clear(self) -> Result<()> {
        let by_hand = peer::clear(&self.testbed.ovn(), self.options.count).await;
        let plugs = self.plugs.clear().await;
        self.testbed.part(OPERATOR)?.start().await?;
        self.cloud.clear().await?;
        by_hand.and(plugs)
    }
}

fn last(moments: &[Instant], began: Instant) -> f64 {
    let last = moments.iter().max().copied().unwrap_or(began);
    last.saturating_duration_since(began).as_secs_f64()
}

impl Figures for Ports {
    fn tables(&self) -> Vec<Table> {
        let Options {
            count,
            existing,
            projects,
        } = self.options;
        let title = format!(
            "{count} ports in one go, {existing} there before, in {projects} projects: seconds since the first was asked for"
        );
        let header = [
            "WHO",
            "plugged in",
            "all asked",
            "in northbound",
            "ports/s",
            "ovn-installed",
            "addresses",
            "Ready",
        ];
        let mut all = Table::new(title, header);
        let ways = [
            ("operator", &self.operator),
            ("ovn-nbctl", &self.by_hand),
            ("ovn-nbctl, once", &self.at_once),
        ];
        let ports = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        for (who, way) in ways {
            let seconds = |seconds: f64| format!("{seconds:.2}");
            let maybe = |some: Option<f64>| some.map(seconds).unwrap_or_default();
            all.row([
                who.to_owned(),
                seconds(way.plugged_seconds),
                seconds(way.asked_seconds),
                seconds(way.rows_seconds),
                format!("{:.1}", ports / way.rows_seconds),
                seconds(way.installed_seconds),
                maybe(way.addresses_seconds),
                maybe(way.ready_seconds),
            ]);
        }
        let mut cost = Table::new(
            "Processor time until all of that was there, in seconds",
            ["PROCESS", "operator's way", "by hand", "by hand, once"],
        );
        for usage in &self.operator.usage {
            let of = |way: &Way| {
                let mut all = way.usage.iter();
                let same = all.find(|other| other.part == usage.part);
                same.map_or(String::new(), |same| format!("{:.2}", same.cpu_seconds))
            };
            cost.row([
                usage.part.clone(),
                of(&self.operator),
                of(&self.by_hand),
                of(&self.at_once),
            ]);
        }
        let mut writes = Table::new(
            "What Kilonova wrote to the API server for its ports",
            ["BY", "VERB", "RESOURCE", "succeeded", "failed"],
        );
        for write in &self.operator.writes {
            writes.row([
                write.who.clone(),
                write.verb.clone(),
                write.resource.clone(),
                write.succeeded.to_string(),
                write.failed.to_string(),
            ]);
        }
        vec![all, cost, writes]
    }
}
