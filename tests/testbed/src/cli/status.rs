//! `devstack status`: which parts there are and which of them run, those in pods included.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;
use testbed::{Pod, Testbed};

use super::output;

/// Someone who asks for the status does so because something hangs.
const PODS_DEADLINE: Duration = Duration::from_secs(5);

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
    /// `None` for what runs in a pod: its log is its kubelet's.
    log: Option<PathBuf>,
}

/// Prints the state of a testbed.
pub async fn print(testbed: &Testbed, format: Format) -> Result<()> {
    let mut status = gather(testbed)?;
    let in_pods = tokio::time::timeout(PODS_DEADLINE, testbed.pods()).await;
    let in_pods = in_pods.context("it does not answer").and_then(|pods| pods);
    let part = |(name, pod): (String, Pod)| Part {
        name,
        pid: pod.process().ok().map(|process| process.pid),
        log: None,
    };
    match in_pods {
        Ok(pods) => status.parts.extend(pods.into_iter().map(part)),
        // The others are worth telling all the more.
        Err(error) => output::failure(&error.context("the API server tells of no pods")),
    }
    match format {
        Format::Json => output::line(serde_json::to_string_pretty(&status)?),
        Format::Table => output::line(table(testbed, &status)),
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
        log: Some(part.log().to_owned()),
    });
    Ok(Status {
        name: testbed.name().to_owned(),
        kubeconfig: testbed.kubeconfig(),
        host_address: testbed.host_address(),
        nodes: nodes.collect(),
        parts: parts.collect(),
    })
}

fn table(testbed: &Testbed, status: &Status) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["PART", "STATE", "PID", "LOG"]);
    for part in &status.parts {
        let (state, pid) = match part.pid {
            Some(pid) => ("running", pid.to_string()),
            None => ("dead", String::new()),
        };
        let log = match &part.log {
            Some(file) => file.display().to_string(),
            None => testbed.devstack(&format!("logs {}", part.name)),
        };
        table.add_row([&part.name, state, &pid, &log]);
    }
    table
}
