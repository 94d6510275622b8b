//! The one place that writes to standard output, and the one that tells a person what went wrong.
#![allow(
    clippy::print_stdout,
    reason = "a command's answer belongs on standard output"
)]

use std::fmt::Display;

/// Prints an answer.
pub fn line(text: impl Display) {
    println!("{text}");
}

/// Tells what went wrong, from what was asked for down to the cause.
pub fn failure(error: &anyhow::Error) {
    eprintln!("\nerror: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}
