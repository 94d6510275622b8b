//! On what, when and of what a benchmark was run. A figure without this is worth nothing.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;

use crate::command::{command, run};
use crate::record::Record;
use crate::testbed::Testbed;

/// Where, when and of what.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// When the benchmark began.
    pub began: Timestamp,
    /// The command as it was typed.
    pub command: String,
    /// Processors.
    pub cores: usize,
    /// What they are.
    pub processor: String,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// How busy the machine was before: load over the last minute.
    pub load_before: f64,
    /// And after. More than the benchmark itself makes means that others were at work.
    pub load_after: f64,
    /// `debug` or `release`, or where the binary lies.
    pub profile: String,
    /// What the binary says of itself.
    pub kilonova: String,
    /// What the API server says of itself.
    pub kubernetes: String,
    /// What libvirt and QEMU say of themselves.
    pub hypervisor: String,
}

impl Machine {
    /// Looks around, before anything is measured.
    pub async fn look(testbed: &Testbed) -> Result<Self> {
        let record = Record::read(testbed.layout())?.context("the testbed is gone")?;
        let binary = record
            .kilonova
            .context("this testbed runs no kilonova: bring it up without --no-kilonova")?;
        let version = testbed.client().await?.apiserver_version().await;
        let node = testbed.nodes()?.into_iter().next();
        let node = node.context("this testbed has no nodes")?;
        let hypervisor = node
            .exec(["virsh", "-c", "qemu:///system", "version"])
            .await?;
        Ok(Self {
            began: Timestamp::now(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: value(&read("/proc/cpuinfo"), "model name").to_owned(),
            memory_mib: kibibytes(&read("/proc/meminfo"), "MemTotal") / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load(),
            load_after: 0.0,
            profile: profile(&binary),
            kilonova: run(&mut command([binary.as_os_str(), "--version".as_ref()]))
                .await?
                .trim()
                .to_owned(),
            kubernetes: version
                .context("failed to ask the API server for its version")?
                .git_version,
            hypervisor: format!(
                "libvirt {}, {}",
                value(&hypervisor, "Using library").trim_start_matches("libvirt "),
                value(&hypervisor, "Running hypervisor")
            ),
        })
    }

    /// Looks how busy the machine is now that all was measured.
    pub fn look_again(mut self) -> Self {
        self.load_after = load();
        self
    }

    /// In one paragraph.
    pub fn words(&self) -> String {
        format!(
            "{}\n{}\n{} × {}, {} MiB, Linux {}; load {:.2} before, {:.2} after\n{} ({}), Kubernetes {}, {}",
            self.command,
            self.began,
            self.cores,
            self.processor,
            self.memory_mib,
            self.kernel,
            self.load_before,
            self.load_after,
            self.kilonova,
            self.profile,
            self.kubernetes,
            self.hypervisor
        )
    }
}

/// The value of `name: value` in a text of such lines.
pub(super) fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
        .map_or("unknown", str::trim)
}

/// The value of `name: value kB`.
pub(super) fn kibibytes(text: &str, name: &str) -> u64 {
    let words = value(text, name).split(' ').next();
    words.and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn load() -> f64 {
    let words = read("/proc/loadavg");
    let first = words.split(' ').next();
    first.and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn profile(binary: &Path) -> String {
    let folder = binary.parent().and_then(Path::file_name);
    match folder.and_then(|name| name.to_str()) {
        Some(name @ ("debug" | "release")) => name.to_owned(),
        Some(_) | None => binary.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values() {
        let text = "VmHWM:\t   12345 kB\nmodel name\t: A CPU\n";
        assert_eq!(kibibytes(text, "VmHWM"), 12345);
        assert_eq!(value(text, "model name"), "A CPU");
        assert_eq!(kibibytes(text, "VmRSS"), 0);
    }
}
