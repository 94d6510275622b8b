//! `devstack status`: which parts there are and which of them run.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;
use testbed::Testbed;

use super::output;

/// How to print.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Serialize)]
struct Status {
    name: String,
    kubeconfig: PathBuf,
    host_address: std::net::Ipv4Addr,
    nodes: Vec<Node>,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Node {
    name: String,
    address: std::net::Ipv4Addr,
    running: bool,
}

#[derive(Debug, Serialize)]
struct Part {
    name: String,
    pid: Option<i32>,
    log: PathBuf,
}

/// Prints the state of a testbed.
pub fn print(testbed: &Testbed, format: Format) -> Result<()> {
    let status = gather(testbed)?;
    match format {
        Format::Json => output::line(serde_json::to_string_pretty(&status)?),
        Format::Table => output::line(table(&status)),
    }
    Ok(())
}

fn gather(testbed: &Testbed) -> Result<Status> {
    let nodes = testbed.nodes()?.into_iter().map(|node| Node {
        name: node.name().to_owned(),
        address: node.address(),
        running: node.init().is_ok(),
    });
    let parts = testbed.parts()?.into_iter().map(|part| Part {
        name: part.name().to_owned(),
        pid: part.process().map(|process| process.pid),
        log: part.log().to_owned(),
    });
    Ok(Status {
        name: testbed.name().to_owned(),
        kubeconfig: testbed.kubeconfig(),
        host_address: testbed.host_address(),
        nodes: nodes.collect(),
        parts: parts.collect(),
    })
}

fn table(status: &Status) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["PART", "STATE", "PID", "LOG"]);
    for part in &status.parts {
        let (state, pid) = match part.pid {
            Some(pid) => ("running", pid.to_string()),
            None => ("dead", String::new()),
        };
        table.add_row([&part.name, state, &pid, &part.log.display().to_string()]);
    }
    table
}
