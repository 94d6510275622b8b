//! `devstack logs`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use testbed::{SYSTEM_NAMESPACE, Testbed};

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
    pub async fn run(self, testbed: &Testbed) -> Result<()> {
        let Some(who) = &self.who else {
            for part in testbed.parts()? {
                output::line(part.name());
            }
            output::line(AUDIT);
            for (name, _) in testbed.pods().await? {
                output::line(name);
            }
            return Ok(());
        };
        if let Some(pod) = testbed.pod(who).await? {
            return Err(self.of_pod(testbed, &pod.name)).context("failed to run kubectl");
        }
        let path = path_of(testbed, who)?;
        let mut tail = Command::new("tail");
        tail.arg("--lines=+1");
        if self.follow {
            tail.arg("--follow=name");
        }
        Err(tail.arg(path).exec()).context("failed to run tail")
    }

    /// Becomes kubectl.
    fn of_pod(&self, testbed: &Testbed, pod: &str) -> std::io::Error {
        let mut logs = Command::new(testbed.kubectl());
        logs.arg("--kubeconfig").arg(testbed.kubeconfig());
        logs.args(["logs", "--namespace", SYSTEM_NAMESPACE, pod]);
        if self.follow {
            logs.arg("--follow");
        }
        logs.exec()
    }
}

fn path_of(testbed: &Testbed, who: &str) -> Result<PathBuf> {
    if who == AUDIT {
        return Ok(testbed.audit_log_path());
    }
    Ok(testbed.part(who)?.log().to_owned())
}
