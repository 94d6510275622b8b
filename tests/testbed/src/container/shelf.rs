//! Where images lie in the cache: under a key that follows from all that went into them, and not for ever.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Archive;
use crate::lock::{Lock, lock};

/// How many images of one name stay: that of this build and of a few others, for whoever goes back and forth.
const KEPT: usize = 4;

/// The place of one image.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    name: &'static str,
    key: String,
}

impl Shelf {
    /// The place of the image with this name and key.
    pub fn new(cache: &Path, name: &'static str, key: &str) -> Self {
        Self {
            folder: cache.join("container"),
            name,
            key: key.to_owned(),
        }
    }

    /// What is known of the archive; it is put into place last, and so is the sign that the archive is there.
    fn facts(&self) -> PathBuf {
        self.folder.join(format!("{}-{}.json", self.name, self.key))
    }

    /// The archive itself.
    pub fn archive(&self) -> PathBuf {
        self.folder.join(format!("{}-{}.tar", self.name, self.key))
    }

    /// The archive, if it is there. Facts that another version of this program wrote count as none.
    pub fn finished(&self) -> Option<Archive> {
        let facts = fs::read(self.facts()).ok()?;
        let archive: Archive = serde_json::from_slice(&facts).ok()?;
        // Its age is that of its last use, so that what is in use stays.
        let now = SystemTime::now();
        File::open(&archive.path).ok()?.set_modified(now).ok()?;
        Some(archive)
    }

    /// Waits for whoever builds an image of this name.
    pub async fn lock(&self) -> Result<Lock> {
        lock(&self.folder.join(format!("{}.lock", self.name))).await
    }

    /// A folder for building, on the same file system. The caller holds the lock, so that all others of this name were left
    /// by runs that were killed.
    pub fn scratch(&self) -> Result<TempDir> {
        let prefix = format!(".{}-", self.name);
        for path in self.paths(&prefix) {
            // What cannot be removed only takes room.
            let _ = fs::remove_dir_all(path);
        }
        let made = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&self.folder);
        made.with_context(|| format!("failed to make a folder in {}", self.folder.display()))
    }

    /// Puts a finished archive into place, and removes those that were not used for longest. The caller holds the lock.
    pub fn put(&self, file: &Path, archive: &Archive) -> Result<()> {
        let context = || format!("failed to put {} into place", archive.path.display());
        let facts = file.with_extension("json");
        fs::write(&facts, serde_json::to_vec(archive)?).with_context(context)?;
        fs::rename(file, &archive.path).with_context(context)?;
        fs::rename(facts, self.facts()).with_context(context)?;
        self.tidy();
        Ok(())
    }

    fn tidy(&self) {
        let mut archives: Vec<(SystemTime, PathBuf)> = self
            .paths(&format!("{}-", self.name))
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "tar"))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        archives.sort();
        let surplus = archives.len().saturating_sub(KEPT);
        for (_, archive) in &archives[..surplus] {
            let _ = fs::remove_file(archive.with_extension("json"));
            let _ = fs::remove_file(archive);
        }
    }

    /// All that lies here under a name that begins so.
    fn paths(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        named.map(|entry| entry.path()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::container::Reference;

    fn put(cache: &Path, key: &str) -> Shelf {
        let shelf = Shelf::new(cache, "x", key);
        let archive = Archive {
            path: shelf.archive(),
            reference: Reference::new("r", key),
            digest: key.to_owned(),
            compressed_bytes: 1,
            unpacked_bytes: 2,
        };
        let scratch = shelf.scratch().unwrap();
        let file = scratch.path().join("archive");
        fs::write(&file, "").unwrap();
        shelf.put(&file, &archive).unwrap();
        shelf
    }

    #[test]
    fn those_that_were_used_last_stay() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("container");
        fs::create_dir_all(folder.join(".x-killed/root")).unwrap();
        for name in ["y-1.tar", "y.lock"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let old = put(cache.path(), "old");
        let used = put(cache.path(), "used");
        for (age, shelf) in [(200, &old), (300, &used)] {
            let then = SystemTime::now() - Duration::from_secs(age);
            let archive = File::open(shelf.archive()).unwrap();
            archive.set_modified(then).unwrap();
        }
        assert_eq!(used.finished().unwrap().reference.tag, "used");
        for key in ["1", "2", "3"] {
            put(cache.path(), key);
        }
        assert_eq!(old.finished(), None);
        let entries = fs::read_dir(&folder).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        let mut expected = vec!["y-1.tar".to_owned(), "y.lock".to_owned()];
        for key in ["1", "2", "3", "used"] {
            expected.extend(["json", "tar"].map(|end| format!("x-{key}.{end}")));
        }
        expected.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn an_archive_that_somebody_removed_is_not_there() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir(cache.path().join("container")).unwrap();
        let shelf = put(cache.path(), "1");
        assert!(shelf.finished().is_some());
        fs::remove_file(shelf.archive()).unwrap();
        assert_eq!(shelf.finished(), None);
    }
}
