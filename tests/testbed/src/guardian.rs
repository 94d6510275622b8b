//! The guardian: a process that removes a testbed when the test it belongs to is gone.
//!
//! It holds the read end of a pipe whose write end only the test has. However the test ends (done, panic, kill -9),
//! the kernel closes the pipe, and the guardian goes to work. It is this workspace's `devstack`, since the test's own
//! program may be gone by then.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::kilonova::binary::{Program, build};
use crate::progress::Progress;
use crate::teardown;

/// The hidden subcommand of `devstack` that a guardian runs.
pub const COMMAND: &str = "guard";

/// The guardians' program; one look at it is enough for all tests of a process.
static DEVSTACK: OnceCell<PathBuf> = OnceCell::const_new();

/// Holds the test's end of the pipe: the testbed goes when this is dropped.
#[derive(Debug)]
pub struct Guardian {
    process: Child,
}

impl Guardian {
    /// Starts a guardian for a testbed, which need not exist yet.
    pub async fn watch(name: &str, progress: &Progress) -> Result<Self> {
        let devstack =
            DEVSTACK.get_or_try_init(async || build(Program::Devstack, false, progress).await);
        let devstack = devstack.await?;
        // In a session of its own, so that the Ctrl-C that ends the test does not end its guardian.
        let process = Command::new("setsid")
            .arg(devstack)
            .args([COMMAND, "--name", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start the testbed's guardian")?;
        Ok(Self { process })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // The guardian's work is part of the test's: what comes next may count on a clean machine.
        let _ = self.process.wait();
    }
}

/// What a guardian does.
pub async fn guard(name: &str) -> Result<()> {
    tokio::task::spawn_blocking(|| {
        // Nobody writes; reading ends when the other end is gone.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    })
    .await
    .context("the reading thread died")?;
    teardown::down(name).await
}
