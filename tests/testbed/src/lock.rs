//! File locks between processes: one `up` or `down` at a time for each testbed, one installer, one build.
//!
//! Never held while a testbed merely runs, and never a sign of life: a lock dies with its process.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::{Seen, wait_for};

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Waits for the lock on `path`, making the file when there is none.
pub async fn lock(path: &Path) -> Result<Lock> {
    let what = format!("the lock {}", path.display());
    // Asked for again and again: a thread that sleeps until it has the lock could not be interrupted.
    wait_for(&what, Duration::MAX, async || {
        let taken = try_lock(path).with_context(|| format!("failed to lock {}", path.display()));
        Ok(match taken? {
            Some(lock) => Seen::Wanted(lock),
            None => Seen::NotYet("somebody else holds it".to_owned()),
        })
    })
    .await
}

fn try_lock(path: &Path) -> std::io::Result<Option<Lock>> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Whoever held the lock before may have removed the folder it lies in: then this lock is on a file that nobody
    // else can find, and the next one must be taken on the new file.
    let held = file.metadata()?.ino();
    let found = std::fs::metadata(path).is_ok_and(|found| found.ino() == held);
    Ok(found.then_some(Lock { _file: file }))
}
