//! Runs a program to its end and turns a failure into words: what was run, how it ended, what it said last.
//!
//! Never for programs that stay (those are [`crate::part`]s), and never through a shell.

use std::ffi::OsStr;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How much of a failed program's output an error quotes.
const QUOTED_LINES: usize = 15;

/// A command from its words.
pub fn command<I, S>(words: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut words = words.into_iter();
    let program = words.next();
    let mut command = Command::new(program.as_ref().map_or(OsStr::new("true"), AsRef::as_ref));
    command.args(words);
    command
}

/// Runs a command made of words separated by blanks; for calls without file names or user text.
pub async fn run_line(line: &str) -> Result<String> {
    run(&mut command(line.split_whitespace())).await
}

/// Runs a command and returns its standard output; any other end than success is an error.
pub async fn run(command: &mut Command) -> Result<String> {
    let output = output(command).await?;
    into_stdout(command, &output)
}

/// Runs a command, feeding it `input`, and returns its standard output.
pub async fn run_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    let words = describe(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to start `{words}`"))?;
    let mut stdin = child
        .stdin
        .take()
        .context("the child has no standard input")?;
    let feed = async move {
        // A program that ends before it has read everything says why by its exit code.
        let _ = stdin.write_all(input).await;
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.with_context(|| format!("failed to wait for `{words}`"))?;
    into_stdout(command, &output)
}

/// Runs a command and returns everything about its end, whatever that was.
pub async fn output(command: &mut Command) -> Result<Output> {
    let words = describe(command);
    command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("failed to start `{words}`"))
}

/// The words of a command, for people.
pub fn describe(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn into_stdout(command: &Command, output: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = if stderr.trim().is_empty() {
        &stdout
    } else {
        &*stderr
    };
    bail!(
        "`{}` failed ({}):\n{}",
        describe(command),
        output.status,
        tail(said.trim(), QUOTED_LINES)
    )
}
