//! Everything that can be had before anything runs: packages, programs, guest images.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::interrupt::interruption;
use crate::kilonova::binary::{Program, build};
use crate::programs::{Binaries, Needed};
use crate::progress::Progress;
use crate::{images, layout, packages};

/// Makes everything and returns the path of the `kilonova` binary. What is there already costs a moment. Ctrl-C is a
/// failure that cleans up: only for programs that do nothing else meanwhile.
pub async fn prepare(release: bool, progress: &Progress) -> Result<PathBuf> {
    tokio::select! {
        made = make(release, progress) => made,
        interrupted = interruption() => interrupted,
    }
}

/// Builds the `kilonova` binary, with the packages that this needs, and returns its path.
pub async fn kilonova(release: bool, progress: &Progress) -> Result<PathBuf> {
    packages::ensure(progress).await?;
    build(Program::Kilonova, release, progress).await
}

async fn make(release: bool, progress: &Progress) -> Result<PathBuf> {
    packages::ensure(progress).await?; // first: what follows is built with them
    let cache = Path::new(layout::CACHE);
    let (kilonova, binaries, _, _) = tokio::try_join!(
        build(Program::Kilonova, release, progress),
        Binaries::ensure(Needed::All, progress),
        images::tiny(cache, progress),
        images::debian(cache, progress),
    )?;
    binaries.link(Path::new(layout::TOOLS))?;
    Ok(kilonova)
}
