//! `devstack bench`: measures, prints, and with `--check` fails when a bar is not passed.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use testbed::bench::{self, Bar, Figures, Report, fleet, kills, ports, servers};
use testbed::{Progress, Testbed};

use super::output;
use super::status::Format;

#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    /// Fail when a bar is not passed.
    #[arg(long, global = true)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Servers, one after the other: create to Running, beside the same domain by libvirt alone.
    Servers {
        /// How many servers.
        #[arg(long, default_value_t = 20, value_parser = positive)]
        count: usize,
        /// How many at once.
        #[arg(long, default_value_t = 1, value_parser = positive)]
        concurrency: usize,
        /// How many rounds before those that count.
        #[arg(long, default_value_t = 2)]
        warmup: usize,
    },
    /// QEMU killed under running servers: how soon they run again.
    Kills {
        /// How many kills.
        #[arg(long, default_value_t = 20, value_parser = positive)]
        count: usize,
        /// Of how many servers, in turn.
        #[arg(long, default_value_t = 4, value_parser = positive)]
        servers: usize,
    },
    /// Many servers at once: the operator's memory.
    Fleet {
        /// How many servers.
        #[arg(long, default_value_t = 100, value_parser = positive)]
        count: usize,
        /// How many of them run; the others are off.
        #[arg(long, default_value_t = 8)]
        running: usize,
    },
    /// Ports, all in one go, beside one `ovn-nbctl` for each: how soon they are in OVN, and have their flows.
    Ports {
        /// How many ports.
        #[arg(long, default_value_t = 1000, value_parser = positive)]
        count: usize,
        /// How many there are before. They stay, so that another run has them.
        #[arg(long, default_value_t = 5000)]
        existing: usize,
        /// Over how many projects they are spread, each with a network of its own.
        #[arg(long, default_value_t = 20, value_parser = positive)]
        projects: usize,
    },
}

impl Bench {
    /// Measures on a testbed that runs.
    pub async fn run(self, testbed: &Testbed) -> Result<ExitCode> {
        let progress = Progress::new();
        match self.what {
            What::Servers {
                count,
                concurrency,
                warmup,
            } => {
                let options = servers::Options {
                    count,
                    concurrency,
                    warmup,
                };
                let report = servers::run(testbed, options, &progress).await?;
                print(&report, self.output, self.check)
            }
            What::Kills { count, servers } => {
                let options = kills::Options { count, servers };
                let report = kills::run(testbed, options, &progress).await?;
                print(&report, self.output, self.check)
            }
            What::Fleet { count, running } => {
                let options = fleet::Options { count, running };
                let report = fleet::run(testbed, options, &progress).await?;
                print(&report, self.output, self.check)
            }
            What::Ports {
                count,
                existing,
                projects,
            } => {
                let options = ports::Options {
                    count,
                    existing,
                    projects,
                };
                let report = ports::run(testbed, options, &progress).await?;
                print(&report, self.output, self.check)
            }
        }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("not a number: {error}")),
    }
}

fn print<F: Figures>(report: &Report<F>, format: Format, check: bool) -> Result<ExitCode> {
    match format {
        Format::Json => output::line(serde_json::to_string_pretty(report)?),
        Format::Table => {
            output::line(report.machine.words());
            for table in report.figures.tables() {
                output::line(format_args!("\n{}\n{}", table.title, lines(&table)));
            }
            output::line(format_args!("\nBars\n{}", bars(&report.bars)));
        }
    }
    Ok(if check && !report.passed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn lines(table: &bench::Table) -> Table {
    let mut shown = Table::new();
    shown.load_style(NOTHING).set_header(&table.header);
    shown.add_rows(&table.rows);
    shown
}

fn bars(bars: &[Bar]) -> Table {
    let mut shown = Table::new();
    shown
        .load_style(NOTHING)
        .set_header(["WHAT", "value", "bar", "unit", ""]);
    for bar in bars {
        shown.add_row([
            bar.what.to_owned(),
            format!("{:.1}", bar.value),
            bar.asked(),
            bar.unit.to_owned(),
            if bar.pass { "pass" } else { "FAIL" }.to_owned(),
        ]);
    }
    shown
}
