//! The one binary: `kilonova operator`, `kilonova agent`, `kilonova crds`.

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    kilonova::cli::run(kilonova::cli::Arguments::parse())
}
