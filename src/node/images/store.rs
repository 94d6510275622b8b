//! The folder of the cache: the names in it, and how a file gets one.
//!
//! ```text
//! <sha256>.qcow2 | <sha256>.raw   verified before it got this name; never written again
//! .part-XXXXXX                    a download; removed by whoever drops it, and at the next start
//! .evicted-<name>                 on its way out; removed, or removed at the next start
//! ```
//!
//! Nothing in here may follow a symbolic link or trust a name that it has not parsed.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::{NamedTempFile, TempPath};

use super::{
    CacheError,
    download::Download,
    entry::{Key, Stored},
    error::DownloadError,
};
use crate::{
    api::image::DiskFormat,
    node::plan::image_format::{self, HEAD_BYTES},
};

const PART_PREFIX: &str = ".part-";
const EVICTED_PREFIX: &str = ".evicted-";
/// QEMU runs as a user of its own: it must be able to read images, and nothing but that.
const FOLDER_MODE: u32 = 0o755;
const IMAGE_MODE: u32 = 0o644;

#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the folder if it is not there.
    pub fn open(state_dir: &Path) -> Result<Self, CacheError> {
        let folder = std::path::absolute(state_dir.join("images"))
            .map_err(|error| failure("find", state_dir, error))?;
        fs::create_dir_all(&folder)
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE)))
            .map_err(|error| failure("make", &folder, error))?;
        Ok(Self { folder })
    }

    /// The images that are there, each with the time of its download. Removes what is unfinished.
    pub fn scan(&self) -> Result<Vec<(Key, Stored, SystemTime)>, CacheError> {
        let failed = |error| failure("list", &self.folder, error);
        let mut images = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(failed)? {
            let file = file.map_err(failed)?;
            let path = file.path();
            let name = file.file_name().to_string_lossy().into_owned();
            if name.starts_with(PART_PREFIX) || name.starts_with(EVICTED_PREFIX) {
                fs::remove_file(&path).map_err(|error| failure("remove", &path, error))?;
                continue;
            }
            let is_file = file.file_type().map_err(failed)?.is_file();
            let Some(key) = parse_name(&name).filter(|_| is_file) else {
                tracing::warn!(path = %path.display(), "ignoring what is no image in the image cache");
                continue;
            };
            match inspect(&key, &path) {
                Ok((stored, downloaded_at)) => images.push((key, stored, downloaded_at)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "ignoring an image that cannot be read");
                }
            }
        }
        Ok(images)
    }

    /// A new file for a download. It is removed when the path is dropped.
    pub fn new_part(&self) -> io::Result<(File, TempPath)> {
        tempfile::Builder::new()
            .prefix(PART_PREFIX)
            .tempfile_in(&self.folder)
            .map(NamedTempFile::into_parts)
    }

    /// Gives a verified download its final name.
    pub fn publish(&self, key: &Key, download: Download) -> Result<Stored, DownloadError> {
        let Download {
            part,
            size,
            virtual_size,
        } = download;
        let path = self.path(key);
        fs::set_permissions(&part, Permissions::from_mode(IMAGE_MODE))
            .and_then(|()| part.persist(&path).map_err(|error| error.error))
            .map_err(DownloadError::Write)?;
        Ok(Stored {
            path,
            size,
            virtual_size: Ok(virtual_size),
        })
    }

    /// Takes an image's name away and returns where it is now. What becomes of a file that large takes time;
    /// this does not.
    pub fn condemn(&self, key: &Key) -> Result<PathBuf, CacheError> {
        let path = self.path(key);
        let condemned = self
            .folder
            .join(format!("{EVICTED_PREFIX}{}", file_name(key)));
        match fs::rename(&path, &condemned) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failure("rename", &path, error))
            }
            _ => Ok(condemned),
        }
    }

    /// What an unprivileged user could still write to the disk.
    pub fn free_bytes(&self) -> Result<u64, CacheError> {
        let disk = rustix::fs::statvfs(&self.folder)
            .map_err(|error| failure("measure the disk of", &self.folder, error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Where the file of an image is, or would be.
    pub fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(file_name(key))
    }
}

/// Removes a file, which need not be there.
pub(super) async fn remove(path: &Path) -> Result<(), CacheError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failure("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn inspect(key: &Key, path: &Path) -> io::Result<(Stored, SystemTime)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut head = Vec::new();
    file.by_ref()
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    let inspected = image_format::inspect(key.format, &head, metadata.len());
    let stored = Stored {
        path: path.to_owned(),
        size: metadata.len(),
        virtual_size: inspected
            .map(|shape| shape.virtual_size)
            .map_err(|refused| refused.to_string()),
    };
    Ok((stored, metadata.modified()?))
}

fn file_name(key: &Key) -> String {
    format!("{}.{}", key.sha256, key.format.as_qemu())
}

pub(super) fn parse_name(name: &str) -> Option<Key> {
    let (digest, format) = name.split_once('.')?;
    let format = [DiskFormat::Qcow2, DiskFormat::Raw]
        .into_iter()
        .find(|known| known.as_qemu() == format)?;
    let sha256 = digest.parse().ok()?;
    Some(Key { sha256, format })
}

fn failure(operation: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}
