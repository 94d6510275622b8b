//! One virsh that stays: reads commands, and tells how long each took. What it takes to start a program and to
//! connect is in no figure.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::node::Node;

const ANSWER_DEADLINE: Duration = Duration::from_mins(1);
/// What virsh says after each command when it is asked for times.
const TIME: &str = "(Time: ";

/// A virsh in a node.
pub struct Virsh {
    /// Dies with this.
    _child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Virsh {
    /// Starts it, and waits until it is connected.
    pub async fn start(node: &Node) -> Result<Self> {
        let words = [
            "sh",
            "-c",
            "exec virsh --timing --connect qemu:///system 2>&1",
        ];
        let mut child = node
            .command(words)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start virsh")?;
        let commands = child.stdin.take().context("virsh has no input")?;
        let answers = child.stdout.take().context("virsh has no output")?;
        let mut virsh = Self {
            _child: child,
            commands,
            answers: BufReader::new(answers).lines(),
            asked: 0,
        };
        virsh.run("uri").await?;
        Ok(virsh)
    }

    /// Runs commands, separated by semicolons, and returns how long they took by virsh's own clock. An error when
    /// virsh reports one.
    pub async fn run(&mut self, commands: &str) -> Result<Duration> {
        self.asked += 1;
        let mark = format!("answered-{}", self.asked);
        let lines = format!("{commands}\necho {mark}\n");
        self.commands.write_all(lines.as_bytes()).await?;
        let answer = tokio::time::timeout(ANSWER_DEADLINE, self.answer(&mark));
        let answer = answer
            .await
            .with_context(|| format!("virsh does not answer to `{commands}`"))??;
        let expected = commands.split(';').count();
        let times: Vec<Duration> = answer.iter().filter_map(|line| time(line)).collect();
        if let Some(complaint) = answer.iter().find(|line| line.starts_with("error:")) {
            bail!("`virsh {commands}`: {complaint}");
        }
        ensure!(
            times.len() == expected,
            "`virsh {commands}` answered {answer:?}"
        );
        Ok(times.into_iter().sum())
    }

    /// All lines up to the mark, which is followed by its own time.
    async fn answer(&mut self, mark: &str) -> Result<Vec<String>> {
        let mut said = Vec::new();
        loop {
            let line = self.next().await?;
            if line == mark {
                break;
            }
            said.push(line);
        }
        while time(&self.next().await?).is_none() {}
        Ok(said)
    }

    async fn next(&mut self) -> Result<String> {
        let line = self.answers.next_line().await?;
        line.context("virsh has ended")
    }
}

fn time(line: &str) -> Option<Duration> {
    let milliseconds: f64 = line
        .strip_prefix(TIME)?
        .strip_suffix(" ms)")?
        .parse()
        .ok()?;
    Duration::try_from_secs_f64(milliseconds / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        assert_eq!(
            time("(Time: 12.345 ms)"),
            Some(Duration::from_micros(12_345))
        );
        assert_eq!(time("Domain 'a' started"), None);
    }
}
