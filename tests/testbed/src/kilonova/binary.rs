//! Builds this workspace's own binaries with cargo, beside the program that asks: same target folder, same profile.
//!
//! cargo decides whether there is anything to do, so a build of something unchanged takes a moment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::command::{command, tail};
use crate::progress::Progress;

const QUOTED_LINES: usize = 30;
/// See the workspace's Cargo.toml.
const GUEST_PROFILE: &str = "guest";
const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";
/// Nothing is loaded or moved when it starts.
const GUEST_FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// A program of the workspace.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// The product.
    Kilonova,
    /// The testbed's own command, for helpers of tests.
    Devstack,
    /// What tests run inside guests.
    Nettool,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Kilonova => "kilonova",
            Self::Devstack => "devstack",
            Self::Nettool => "nettool",
        }
    }
}

/// Builds a program and returns its path. With `release` it is optimised, else as the asking program is.
pub async fn build(program: Program, release: bool, progress: &Progress) -> Result<PathBuf> {
    let place = Place::of_this_program()?;
    let profile = if release { "release" } else { &place.profile };
    let step = progress.step(format!("cargo build of {} ({profile})", program.name()));
    run(&mut cargo_build(program, profile, &place)).await?;
    step.done();
    Ok(place.target.join(profile).join(program.name()))
}

/// Builds a program so that it needs no library where it runs, and returns its path.
pub async fn build_for_guests(program: Program) -> Result<PathBuf> {
    let place = Place::of_this_program()?;
    let mut build = cargo_build(program, GUEST_PROFILE, &place);
    // With a target of their own, the flags are for this program only, and not for what is built to build it.
    build
        .args(["--target", GUEST_TARGET])
        .env("RUSTFLAGS", GUEST_FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut build).await?;
    let folder = place.target.join(GUEST_TARGET).join(GUEST_PROFILE);
    Ok(folder.join(program.name()))
}

fn cargo_build(program: Program, profile: &str, place: &Place) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = command([cargo]);
    build
        .args([
            "build",
            "--package",
            program.name(),
            "--bin",
            program.name(),
            "--profile",
        ])
        .arg(if profile == "debug" { "dev" } else { profile })
        .arg("--target-dir")
        .arg(&place.target)
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_outer_cargo(name)) {
        build.env_remove(name);
    }
    build
}

async fn run(build: &mut Command) -> Result<()> {
    let output = build
        .output()
        .await
        .context("failed to start cargo; install Rust (https://rustup.rs) and start again")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let words = crate::command::describe(build);
        bail!(
            "`{words}` failed ({}):\n{}",
            output.status,
            tail(said.trim(), QUOTED_LINES)
        );
    }
    Ok(())
}

/// What cargo tells a program that it runs (`cargo test`, `cargo run`) about that program's package. An inner cargo
/// must not pass it on: build scripts look at it, and each change of it builds half the dependencies again.
fn is_of_outer_cargo(name: &OsStr) -> bool {
    let prefixes = [
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_BIN_",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
    ];
    name.to_str()
        .is_some_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

/// The workspace this program was compiled from.
pub fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own)
}

/// Where cargo put the running program.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    target: PathBuf,
    /// The folder in the target folder: `debug`, or the profile's name.
    profile: String,
}

impl Place {
    fn of_this_program() -> Result<Self> {
        let program = std::env::current_exe().context("failed to find this program's file")?;
        Self::of(&program).with_context(|| {
            format!(
                "{} does not lie in a target folder of cargo's",
                program.display()
            )
        })
    }

    /// A binary is at `<target>/<profile>/<name>`, a test at `<target>/<profile>/deps/<name>-<hash>`.
    fn of(program: &Path) -> Option<Self> {
        let folder = program.parent()?;
        let folder = if folder.ends_with("deps") {
            folder.parent()?
        } else {
            folder
        };
        Some(Self {
            target: folder.parent()?.to_owned(),
            profile: folder.file_name()?.to_str()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_target_and_profile() {
        let expected = Place {
            target: PathBuf::from("/t/target"),
            profile: "debug".to_owned(),
        };
        assert_eq!(
            Place::of(Path::new("/t/target/debug/devstack")).as_ref(),
            Some(&expected)
        );
        assert_eq!(
            Place::of(Path::new("/t/target/debug/deps/it-0123")).as_ref(),
            Some(&expected)
        );
    }

    #[test]
    fn the_workspace_is_this_one() {
        assert!(workspace().join("tests/testbed/Cargo.toml").is_file());
    }
}
