//! `devstack`: a whole Kilonova cloud on this machine, with one command.
//!
//! Arguments in, library calls, words out; everything that does something is in the library `testbed`.

mod cli;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::Arguments::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            cli::output::failure(&error);
            ExitCode::FAILURE
        }
    }
}
