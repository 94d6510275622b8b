//! Whatever way a test ends, its testbed goes with it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Seen, Testbed, unique_name, wait_for};

use crate::traces::Traces;

/// Set for the process that is to be killed: the name of the testbed it holds.
const HELD: &str = "TESTBED_TEST_HELD";
/// What that process prints when the testbed is up. The test harness may have begun the line.
const UP: &str = "the held testbed is up";

#[tokio::test]
async fn a_dropped_testbed_is_removed() -> Result<()> {
    let testbed = Testbed::builder(unique_name("drop")).guarded().up().await?;
    let traces = Traces::of(&testbed)?;
    drop(testbed);
    traces.wait_gone().await
}

/// Runs itself a second time as the process that holds a testbed, and kills that.
#[tokio::test]
async fn the_testbed_of_a_killed_process_is_removed() -> Result<()> {
    if let Ok(name) = std::env::var(HELD) {
        let _testbed = Testbed::builder(name).nodes(1).guarded().up().await?;
        writeln!(std::io::stdout(), "{UP}")?;
        return std::future::pending().await;
    }
    let name = unique_name("held");
    let this_test = "guardian::the_testbed_of_a_killed_process_is_removed";
    let mut holder = Command::new(std::env::current_exe()?)
        .args(["--exact", this_test, "--nocapture"])
        .env(HELD, &name)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = std::io::BufReader::new(holder.stdout.take().context("no standard output")?);
    let mut line = String::new();
    while !line.trim().ends_with(UP) {
        line.clear();
        let read = std::io::BufRead::read_line(&mut said, &mut line)?;
        assert_ne!(read, 0, "the holder ended before its testbed was up");
    }
    let traces = Traces::of(&Testbed::open(&name)?)?;
    holder.kill()?;
    holder.wait()?;
    let root = Path::new("/var/lib/kilonova/devstack").join(&name);
    wait_for("the guardian's work", Duration::from_mins(1), async || {
        Ok(Seen::when(!root.exists(), "the testbed's folder is there"))
    })
    .await?;
    traces.wait_gone().await
}
