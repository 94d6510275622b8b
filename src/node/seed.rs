//! Puts a guest's NoCloud seed disk into its folder.
//!
//! What the disk holds is decided elsewhere (`plan::seed`). It holds secrets: it must never be readable by others,
//! and its content must never be logged.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    disks::{self, GuestFolder},
    files,
    plan::seed::{self, Documents},
};

/// libvirt gives the disk to QEMU's user when the guest starts.
const SEED_MODE: u32 = 0o600;

/// Why a seed disk was not written.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// There is no such disk.
    #[error("failed to make the seed disk")]
    Make(#[source] seed::DiskError),
    /// There is no folder to put it into.
    #[error("failed to prepare the guest's folder")]
    Folder(#[source] disks::DiskError),
    /// The file system said no.
    #[error("failed to write {}", path.display())]
    Write {
        /// The disk.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Makes the guest's seed disk hold exactly these documents.
///
/// Guarantees: the disk appears whole or not at all; an equal one is left alone; a running guest keeps the one that it
/// was started with.
pub async fn write(folder: &GuestFolder, documents: &Documents) -> Result<(), SeedError> {
    let disk = seed::disk(documents).map_err(SeedError::Make)?;
    folder.create().map_err(SeedError::Folder)?;
    let path = folder.seed();
    let target = path.clone();
    tokio::task::spawn_blocking(move || replace(&target, &disk))
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|source| SeedError::Write { path, source })
}

fn replace(path: &Path, disk: &[u8]) -> io::Result<()> {
    match fs::read(path) {
        Ok(present) if present == disk => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files::replace(path, disk, SEED_MODE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::node::disks::Disks;

    fn documents(user_data: &str) -> Documents {
        Documents {
            user_data: user_data.as_bytes().to_vec(),
            meta_data: b"{}".to_vec(),
            network_config: None,
        }
    }

    #[tokio::test]
    async fn a_seed_is_written_when_it_changes_and_only_then() {
        let state = tempfile::tempdir().unwrap();
        let guest = Disks::new(state.path())
            .unwrap()
            .guest("4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35")
            .unwrap();
        fs::create_dir_all(guest.path()).unwrap();
        fs::write(guest.path().join("seed.img.new"), "left by a crash").unwrap();

        write(&guest, &documents("one")).await.unwrap();
        let first = fs::metadata(guest.seed()).unwrap();
        assert_eq!(first.mode() & 0o7777, 0o600);
        write(&guest, &documents("one")).await.unwrap();
        assert_eq!(fs::metadata(guest.seed()).unwrap().ino(), first.ino());
        write(&guest, &documents("two")).await.unwrap();
        assert_eq!(
            fs::read(guest.seed()).unwrap(),
            seed::disk(&documents("two")).unwrap()
        );
        assert_eq!(fs::read_dir(guest.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_is_too_large_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        let guest = Disks::new(state.path())
            .unwrap()
            .guest("4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35")
            .unwrap();
        let refused = write(&guest, &documents(&"x".repeat(2 << 20))).await;
        assert!(matches!(refused, Err(SeedError::Make(_))), "{refused:?}");
        assert!(!guest.path().exists());
    }
}
