//! File locks between processes: one `up` or `down` at a time for each testbed, one installer, one build.
//!
//! Never held while a testbed merely runs, and never a sign of life: a lock dies with its process.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Waits for the lock on `path`, making the file when there is none.
pub async fn lock(path: &Path) -> Result<Lock> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || lock_blocking(&path))
        .await
        .context("the locking thread died")?
}

fn lock_blocking(path: &Path) -> Result<Lock> {
    let context = || format!("failed to lock {}", path.display());
    loop {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(context)?;
        }
        let file = File::create(path).with_context(context)?;
        file.lock().with_context(context)?;
        // Whoever held the lock before may have removed the folder it lies in: then this lock is on a file that
        // nobody else can find, and the next one must be taken on the new file.
        let held = file.metadata().with_context(context)?.ino();
        if std::fs::metadata(path).is_ok_and(|found| found.ino() == held) {
            return Ok(Lock { _file: file });
        }
    }
}
