//! What the operator and the agents cost: memory and processor time, as the kernel counts.

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::kibibytes;
use super::report::Table;
use crate::kilonova::OPERATOR;
use crate::kilonova::running::Program;
use crate::process::ProcessId;
use crate::testbed::Testbed;

/// What one process has used so far.
#[derive(Clone, Debug)]
struct Reading {
    part: String,
    process: ProcessId,
    rss_kib: u64,
    peak_kib: u64,
    cpu_ticks: u64,
}

/// What one process used from one moment to another.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    /// Its name, as in [`Program`].
    pub part: String,
    /// Resident memory before, in MiB.
    pub rss_before_mib: f64,
    /// Resident memory after, in MiB.
    pub rss_mib: f64,
    /// The most there was between, in MiB.
    pub rss_peak_mib: f64,
    /// Processor time between, in seconds.
    pub cpu_seconds: f64,
}

/// The operator and the agents at one moment.
pub struct Meter(Vec<Reading>);

impl Meter {
    /// Begins to measure: what was the most memory so far is forgotten.
    pub async fn begin(testbed: &Testbed) -> Result<Self> {
        let mut readings = Vec::new();
        for Program { name, process, .. } in testbed.programs().await? {
            // 5: forget the peak (proc(5)).
            std::fs::write(format!("/proc/{}/clear_refs", process.pid), "5")
                .with_context(|| format!("failed to reset the peak memory of {name}"))?;
            readings.push(read(&name, process)?);
        }
        Ok(Self(readings))
    }

    /// Begins to measure parts of the testbed, whatever they are.
    pub fn of_parts(testbed: &Testbed, names: &[String]) -> Result<Self> {
        let reading = |name: &String| {
            let process = testbed.part(name)?.process();
            read(
                name,
                process.with_context(|| format!("{name} does not run"))?,
            )
        };
        Ok(Self(names.iter().map(reading).collect::<Result<_>>()?))
    }

    /// What each has used since. An error when one was replaced meanwhile: nothing could be said of it.
    pub fn since(&self) -> Result<Vec<Usage>> {
        self.0.iter().map(usage).collect()
    }
}

fn usage(before: &Reading) -> Result<Usage> {
    let now = read(&before.part, before.process.clone())?;
    Ok(Usage {
        part: now.part,
        rss_before_mib: mebibytes(before.rss_kib),
        rss_mib: mebibytes(now.rss_kib),
        rss_peak_mib: mebibytes(now.peak_kib),
        cpu_seconds: seconds(now.cpu_ticks.saturating_sub(before.cpu_ticks)),
    })
}

/// What was used, for people; processor time also for each of `servers`.
pub fn table(usages: &[Usage], servers: usize) -> Table {
    let header = [
        "PROCESS",
        "RSS before MiB",
        "RSS MiB",
        "peak MiB",
        "CPU s",
        "CPU ms/server",
    ];
    let mut table = Table::new("Memory and processor time", header);
    let servers = f64::from(u32::try_from(servers.max(1)).unwrap_or(u32::MAX));
    for usage in usages {
        table.row([
            usage.part.clone(),
            format!("{:.1}", usage.rss_before_mib),
            format!("{:.1}", usage.rss_mib),
            format!("{:.1}", usage.rss_peak_mib),
            format!("{:.2}", usage.cpu_seconds),
            format!("{:.1}", usage.cpu_seconds * 1e3 / servers),
        ]);
    }
    table
}

/// The operator's.
pub fn operator(usages: &[Usage]) -> Option<&Usage> {
    usages.iter().find(|usage| usage.part == OPERATOR)
}

fn read(part: &str, process: ProcessId) -> Result<Reading> {
    let context = || format!("{part} has ended, or was started again, while it was measured");
    let pid = process.pid;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).with_context(context)?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(context)?;
    anyhow::ensure!(process.is_alive(), context());
    Ok(Reading {
        part: part.to_owned(),
        process,
        rss_kib: kibibytes(&status, "VmRSS"),
        peak_kib: kibibytes(&status, "VmHWM"),
        cpu_ticks: cpu_ticks(&stat).with_context(context)?,
    })
}

/// utime and stime: fields 14 and 15 of proc(5); fields count from 3 after the name's bracket.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn seconds(ticks: u64) -> f64 {
    f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) / ticks_per_second()
}

fn ticks_per_second() -> f64 {
    let ticks = rustix::param::clock_ticks_per_second();
    f64::from(u32::try_from(ticks).unwrap_or(100))
}

fn mebibytes(kibibytes: u64) -> f64 {
    f64::from(u32::try_from(kibibytes).unwrap_or(u32::MAX)) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_processor_time() {
        let stat = "42 (a) R (b) S 1 42 42 0 -1 4194560 1 0 0 0 250 17 0 0 20 0 1 0 9876 1 2";
        assert_eq!(cpu_ticks(stat), Some(267));
    }
}
