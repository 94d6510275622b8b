//! Logs: structured, on standard error, as much of them as was asked for.

use std::io::IsTerminal as _;

use schemars::JsonSchema;
use serde::Serialize;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, prelude::*};

/// What is logged unless something else is asked for: this program's story, and only troubles of what it stands on.
pub const FILTER: &str = "warn,kilonova=info";

/// How log lines look.
#[derive(Serialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Whether the text is a filter: levels, for everything or by module, such as `warn,kilonova=debug`.
pub fn check_filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

/// Begins to log. Call it once, first thing. A filter that is none lets through what [`FILTER`] does.
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(FILTER));
    // Colours are for people at a terminal: in a pod's log they would be noise to whatever reads it.
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
}

/// An error and everything that caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
