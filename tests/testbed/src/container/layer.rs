//! A folder as the one layer of an image: a compressed tar whose bytes follow from names, modes and contents alone.
//!
//! Everything belongs to root and was last changed at the beginning of time: whoever builds, and when, is no part of
//! an image. Never follows a symbolic link.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::digest::Digesting;

/// Leaves a third. The highest level would take off another 6 %, in four times the time (an image of a debug build).
const COMPRESSION: Compression = Compression::new(4);

/// What a manifest and a configuration say about a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Of the compressed bytes.
    pub digest: String,
    /// How many they are.
    pub bytes: u64,
    /// Of the tar inside.
    pub diff_id: String,
    /// All files together, as they lie on a disk.
    pub unpacked_bytes: u64,
}

/// Writes everything in a folder as a layer.
pub(super) fn write(root: &Path, out: impl Write) -> Result<Layer> {
    let compressed = GzEncoder::new(Digesting::new(out), COMPRESSION);
    let mut tar = tar::Builder::new(Digesting::new(compressed));
    let mut unpacked_bytes = 0;
    for path in everything(root)? {
        let context = || format!("failed to pack {}", root.join(&path).display());
        unpacked_bytes += append(&mut tar, root, &path).with_context(context)?;
    }
    let context = || format!("failed to pack {}", root.display());
    let (compressed, diff_id, _) = tar.into_inner().with_context(context)?.finish();
    let (mut out, digest, bytes) = compressed.finish().with_context(context)?.finish();
    out.flush().with_context(context)?;
    Ok(Layer {
        digest,
        bytes,
        diff_id,
        unpacked_bytes,
    })
}

/// The paths of all that is in a folder, relative to it: folders before what they hold, names in the order of their bytes.
fn everything(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let place = root.join(&folder);
        let context = || format!("failed to list {}", place.display());
        for entry in fs::read_dir(&place).with_context(context)? {
            let entry = entry.with_context(context)?;
            let path = folder.join(entry.file_name());
            if entry.file_type().with_context(context)?.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Appends one entry, and says how many bytes of content it has.
fn append(tar: &mut tar::Builder<impl Write>, root: &Path, path: &Path) -> Result<u64> {
    let file = root.join(path);
    let metadata = fs::symlink_metadata(&file)?;
    let mut header = Header::new_gnu();
    header.set_mode(metadata.permissions().mode() & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        tar.append_data(&mut header, path.join(""), io::empty())?;
        Ok(0)
    } else if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        tar.append_link(&mut header, path, fs::read_link(&file)?)?;
        Ok(0)
    } else if metadata.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        tar.append_data(&mut header, path, fs::File::open(&file)?)?;
        Ok(metadata.len())
    } else {
        bail!("it is neither a file nor a folder nor a symbolic link");
    }
}
