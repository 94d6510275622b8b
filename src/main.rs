//! The one binary: `kilonova operator`, `kilonova agent`, `kilonova crds`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    kilonova::cli::run(kilonova::cli::Arguments::parse())
}
