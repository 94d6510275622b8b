//! `devstack logs`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use testbed::Testbed;

use super::output;

/// What the API server wrote down; no part's own log.
const AUDIT: &str = "audit";

#[derive(Debug, Args)]
pub struct Logs {
    /// Whose log, such as kube-apiserver or n1/agent.
    who: Option<String>,
    /// Go on printing what is added.
    #[arg(short, long)]
    follow: bool,
}

impl Logs {
    /// Prints a log, or the names of all.
    pub fn run(self, testbed: &Testbed) -> Result<()> {
        let Some(who) = self.who else {
            for part in testbed.parts()? {
                output::line(part.name());
            }
            output::line(AUDIT);
            return Ok(());
        };
        let path = path_of(testbed, &who)?;
        let mut tail = Command::new("tail");
        tail.arg("--lines=+1");
        if self.follow {
            tail.arg("--follow=name");
        }
        Err(tail.arg(path).exec()).context("failed to run tail")
    }
}

fn path_of(testbed: &Testbed, who: &str) -> Result<PathBuf> {
    if who == AUDIT {
        return Ok(testbed.audit_log_path());
    }
    Ok(testbed.part(who)?.log().to_owned())
}
