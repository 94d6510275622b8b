//! The repository keeps its promises: generated files are fresh, pure rooms are pure, rooms meet only where they may,
//! every field explains itself, the examples work.
//!
//! Everything here looks at files, but for the examples, which need an API server to say that they are right.

mod source;

mod charts;
mod crds;
mod examples;
mod metrics;
mod monitoring;
mod promql;
mod purity;
mod rights;
mod rooms;
mod shape;

use std::path::Path;

/// Where the repository is.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with one line for each fault; `cure` says what to do about them.
fn none(faults: &[String], cure: &str) {
    assert!(faults.is_empty(), "\n{}\n\n{cure}\n", faults.join("\n"));
}
