//! The folder of each guest on its node: `<state>/guests/<uid>`, with its root disk and its seed disk.
//!
//! A root disk is a thin overlay over an image of the cache. It is the only copy of what a guest has written: this
//! module must never overwrite one that is there, and must never let a tool guess a format. A UID becomes a path
//! only after it was read as a UUID.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::api::{image::DiskFormat, value::Size};

use super::{
    driver::DomainId,
    plan::image_format::{self, HEAD_BYTES},
};

/// QEMU runs as a user of its own and must reach its disks, but need not see what other guests there are.
const FOLDER_MODE: u32 = 0o711;
/// libvirt gives a disk to QEMU's user when the guest starts. Until then it is nobody's business.
const DISK_MODE: u32 = 0o600;
/// Making an overlay writes a few hundred KiB. The time is for a disk that is very busy.
const QEMU_IMG_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a guest of one UID can be set aside: only who makes it anew by hand comes to the second time.
const NAMES_MAX: u32 = 1000;
/// The name of a root disk in its folder.
const ROOT_DISK: &str = "root.qcow2";
/// The name of the link in that folder that says what the root disk stands on. The disk says it, too, but is QEMU's
/// user's for as long as the guest runs, and an agent that could read it then would need a capability for it: one with
/// which a container gets at every file of its host.
const BASE: &str = "base";
/// How much of what `qemu-img` says goes into an error.
const STDERR_BYTES_MAX: usize = 1024;

/// What went wrong with a guest's folder.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Something that is to become a path, but is no UUID.
    #[error("{0:?} is no guest UID: it must be a UUID in lower case")]
    NotAUid(String),
    /// The file system said no.
    #[error("failed to {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// `qemu-img` could not be started.
    #[error("failed to start qemu-img, which makes disks: is it installed and on the PATH?")]
    QemuImgMissing(#[source] io::Error),
    /// `qemu-img` did not end in time.
    #[error("qemu-img did not make {} within {} s", path.display(), QEMU_IMG_TIMEOUT.as_secs())]
    QemuImgTimeout {
        /// The disk.
        path: PathBuf,
    },
    /// `qemu-img` failed.
    #[error("qemu-img failed to make {}: {stderr}", path.display())]
    QemuImgFailed {
        /// The disk.
        path: PathBuf,
        /// What it said.
        stderr: String,
    },
}

/// All guests' folders.
#[derive(Clone, Debug)]
pub struct Disks {
    folder: PathBuf,
}

impl Disks {
    /// Makes `<state>/guests` if it is not there.
    pub fn new(state_dir: &Path) -> Result<Self, DiskError> {
        let folder = std::path::absolute(state_dir.join("guests"))
            .map_err(|error| failure("find", state_dir, error))?;
        fs::create_dir_all(&folder)
            .and_then(|()| set_mode(&folder, FOLDER_MODE))
            .map_err(|error| failure("make", &folder, error))?;
        Ok(Self { folder })
    }

    /// The folder of one guest, which need not be there.
    pub fn guest(&self, uid: &str) -> Result<GuestFolder, DiskError> {
        if !is_uid(uid) {
            return Err(DiskError::NotAUid(uid.to_owned()));
        }
        Ok(GuestFolder {
            path: self.folder.join(uid),
        })
    }

    /// Moves a guest's folder to `<state>/lost+found`, from where an administrator can take or delete it. There may
    /// be none. What lies there under the same name already stays as it is.
    pub async fn set_aside(&self, uid: &str) -> Result<(), DiskError> {
        let from = self.guest(uid)?.path;
        let lost = self.lost();
        let moved = async {
            tokio::fs::create_dir_all(&lost).await?;
            let to = free_name(&lost, uid)?;
            tokio::fs::rename(&from, &to).await
        };
        match moved.await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failure("move aside", &from, error))
            }
            _ => Ok(()),
        }
    }

    /// The files that root disks stand on, of guests and of what was set aside, but for `known` guests.
    pub fn bases(&self, known: &BTreeSet<String>) -> Result<Vec<PathBuf>, DiskError> {
        let mut bases = Vec::new();
        for folder in [self.folder.clone(), self.lost()] {
            let failed = |error| failure("list", &folder, error);
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let is_known = entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| known.contains(name));
                if is_known && folder == self.folder {
                    continue;
                }
                let disk = entry.path().join(ROOT_DISK);
                bases.extend(base(&entry.path()).map_err(|error| failure("read", &disk, error))?);
            }
        }
        Ok(bases)
    }

    fn lost(&self) -> PathBuf {
        self.folder.with_file_name("lost+found")
    }

    /// The UIDs of all guests that have a folder, in order. What else lies there is left out.
    pub fn list(&self) -> Result<Vec<String>, DiskError> {
        let failed = |error| failure("list", &self.folder, error);
        let mut uids = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            match entry.file_name().into_string() {
                Ok(name) if is_folder && is_uid(&name) => uids.push(name),
                _ => {}
            }
        }
        uids.sort();
        Ok(uids)
    }
}

/// The folder of one guest.
#[derive(Clone, Debug)]
pub struct GuestFolder {
    path: PathBuf,
}

impl GuestFolder {
    /// Where it is, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the root disk is, or would be. Its format is qcow2.
    pub fn root_disk(&self) -> PathBuf {
        self.path.join(ROOT_DISK)
    }

    /// Where the seed disk is, or would be. Its format is raw.
    pub fn seed(&self) -> PathBuf {
        self.path.join("seed.img")
    }

    /// Whether the root disk is there. That it cannot be told is an error, never an answer.
    pub fn has_root_disk(&self) -> Result<bool, DiskError> {
        exists(&self.root_disk())
    }

    /// Whether the seed disk is there.
    pub fn has_seed(&self) -> Result<bool, DiskError> {
        exists(&self.seed())
    }

    /// Makes the folder, open to passing through. Other things of the guest may be put there too.
    pub fn create(&self) -> Result<(), DiskError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&self.path)
            // The process's umask may have taken something away.
            .and_then(|()| set_mode(&self.path, FOLDER_MODE))
            .map_err(|error| failure("make", &self.path, error))
    }

    /// Makes the root disk, a thin overlay of this size over a base, unless it is there.
    ///
    /// Assumptions: the base was inspected and stays as long as the disk; at most one call at a time for one guest.
    ///
    /// Guarantees: the disk appears whole or not at all, also after a crash. One that is there stays as it is.
    pub async fn create_root_disk(
        &self,
        base: &Path,
        base_format: DiskFormat,
        size: Size,
    ) -> Result<(), DiskError> {
        let disk = self.root_disk();
        if self.has_root_disk()? {
            return Ok(());
        }
        self.create()?;
        link(base, &self.path.join(BASE))?;
        let unfinished = self.path.join("root.qcow2.new");
        let mut command = Command::new("qemu-img");
        command
            .args([
                "create",
                "-q",
                "-f",
                "qcow2",
                "-F",
                base_format.as_qemu(),
                "-b",
            ])
            .arg(base)
            .arg(&unfinished)
            .arg(size.as_bytes().to_string());
        run(command, &unfinished).await?;
        publish(&unfinished, &disk).await
    }

    /// Keeps the text of the domain's definition beside the disk, for whoever has nothing else of it left.
    pub async fn keep_definition(&self, xml: &str) -> Result<(), DiskError> {
        let path = self.path.join("domain.xml");
        tokio::fs::write(&path, xml)
            .await
            .map_err(|error| failure("write", &path, error))
    }

    /// Removes the folder with everything in it. There may be nothing.
    pub async fn remove(&self) -> Result<(), DiskError> {
        match tokio::fs::remove_dir_all(&self.path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failure("remove", &self.path, error))
            }
            _ => Ok(()),
        }
    }
}

async fn run(mut command: Command, makes: &Path) -> Result<(), DiskError> {
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(QEMU_IMG_TIMEOUT, command.output())
        .await
        .map_err(|_| DiskError::QemuImgTimeout {
            path: makes.to_owned(),
        })?
        .map_err(DiskError::QemuImgMissing)?;
    if output.status.success() {
        return Ok(());
    }
    let said = &output.stderr[..output.stderr.len().min(STDERR_BYTES_MAX)];
    Err(DiskError::QemuImgFailed {
        path: makes.to_owned(),
        stderr: String::from_utf8_lossy(said).trim().to_owned(),
    })
}

/// Gives a finished disk its name, after its bytes have reached the disk: a power cut must not leave an empty file
/// under a name that means a whole disk.
async fn publish(unfinished: &Path, disk: &Path) -> Result<(), DiskError> {
    let (from, to) = (unfinished.to_owned(), disk.to_owned());
    let work = move || {
        set_mode(&from, DISK_MODE)?;
        fs::File::open(&from)?.sync_all()?;
        fs::rename(&from, &to)?;
        to.parent()
            .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| failure("publish", disk, error))
}

fn exists(path: &Path) -> Result<bool, DiskError> {
    path.try_exists()
        .map_err(|error| failure("look for", path, error))
}

fn failure(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
    DiskError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Whether this is a UUID as Kubernetes writes it. Other spellings would make two folders of one guest.
fn is_uid(text: &str) -> bool {
    text.parse::<DomainId>()
        .is_ok_and(|id| id.to_string() == text)
}

/// A name in the folder that nothing has yet: `<uid>`, `<uid>.1` and so on.
fn free_name(folder: &Path, uid: &str) -> io::Result<PathBuf> {
    let names = (1..NAMES_MAX).map(|number| format!("{uid}.{number}"));
    for name in std::iter::once(uid.to_owned()).chain(names) {
        let path = folder.join(name);
        if !path.try_exists()? {
            return Ok(path);
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Makes a link, in place of one that a disk before may have left.
fn link(to: &Path, path: &Path) -> Result<(), DiskError> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    removed
        .and_then(|()| std::os::unix::fs::symlink(to, path))
        .map_err(|error| failure("make", path, error))
}

/// What the root disk in a guest's folder stands on; none when there is neither disk nor link. A folder without the
/// link has the disk asked.
fn base(guest: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(guest.join(BASE)) {
        Ok(base) => return Ok(Some(base)),
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(error),
    }
    let mut head = Vec::new();
    match fs::File::open(guest.join(ROOT_DISK)) {
        Ok(file) => file.take(HEAD_BYTES as u64).read_to_end(&mut head)?,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let name = image_format::backing_file(&head).map_err(io::Error::other)?;
    Ok(name.map(PathBuf::from))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const UID: &str = "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35";

    fn qemu_img(args: &[&str]) -> Vec<u8> {
        let output = std::process::Command::new("qemu-img")
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_root_disk_is_a_thin_overlay_of_explicit_formats() {
        let state = tempfile::tempdir().unwrap();
        let base = state.path().join("base");
        qemu_img(&["create", "-f", "qcow2", base.to_str().unwrap(), "1M"]);
        let guest = Disks::new(state.path()).unwrap().guest(UID).unwrap();
        guest
            .create_root_disk(&base, DiskFormat::Qcow2, Size::gib(4))
            .await
            .unwrap();

        let info = qemu_img(&[
            "info",
            "-U",
            "--output=json",
            guest.root_disk().to_str().unwrap(),
        ]);
        let info: Value = serde_json::from_slice(&info).unwrap();
        assert_eq!(info["format"], "qcow2");
        assert_eq!(info["virtual-size"], 4_u64 << 30);
        assert_eq!(info["backing-filename"], base.to_str().unwrap());
        assert_eq!(info["backing-filename-format"], "qcow2");
        assert_eq!(
            (mode(guest.path()), mode(&guest.root_disk())),
            (0o711, 0o600)
        );
        assert_eq!(fs::read_link(guest.path().join(BASE)).unwrap(), base);
        assert_eq!(fs::read_dir(guest.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_root_disk_that_is_there_is_never_touched() {
        let state = tempfile::tempdir().unwrap();
        let guest = Disks::new(state.path()).unwrap().guest(UID).unwrap();
        guest.create().unwrap();
        fs::write(guest.root_disk(), "precious").unwrap();
        let base = state.path().join("no such base");
        guest
            .create_root_disk(&base, DiskFormat::Raw, Size::gib(1))
            .await
            .unwrap();
        assert_eq!(fs::read(guest.root_disk()).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_failure_says_what_qemu_img_said_and_leaves_no_disk() {
        let state = tempfile::tempdir().unwrap();
        let guest = Disks::new(state.path()).unwrap().guest(UID).unwrap();
        let base = state.path().join("no such base");
        let error = guest
            .create_root_disk(&base, DiskFormat::Raw, Size::gib(1))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no such base"), "{error}");
        assert!(!guest.has_root_disk().unwrap());
    }

    #[tokio::test]
    async fn a_guest_is_removed_whole_and_again() {
        let state = tempfile::tempdir().unwrap();
        let disks = Disks::new(state.path()).unwrap();
        let guest = disks.guest(UID).unwrap();
        guest.create().unwrap();
        fs::write(guest.seed(), "").unwrap();
        fs::create_dir(state.path().join("guests/lost+found")).unwrap();
        fs::write(state.path().join("guests").join(UID.replace('4', "5")), "").unwrap();
        assert_eq!(disks.list().unwrap(), [UID]);
        assert!(guest.has_seed().unwrap() && !guest.has_root_disk().unwrap());

        guest.remove().await.unwrap();
        guest.remove().await.unwrap();
        assert!(!guest.path().exists());
        assert_eq!(disks.list().unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn what_is_set_aside_harms_nothing_that_lies_there() {
        let state = tempfile::tempdir().unwrap();
        let disks = Disks::new(state.path()).unwrap();
        let lost = state.path().join("lost+found");
        for content in ["first", "second", "third"] {
            let guest = disks.guest(UID).unwrap();
            guest.create().unwrap();
            fs::write(guest.root_disk(), content).unwrap();
            disks.set_aside(UID).await.unwrap();
            assert!(!guest.path().exists());
        }
        disks.set_aside(UID).await.unwrap();
        for (name, content) in [("", "first"), (".1", "second"), (".2", "third")] {
            let disk = lost.join(format!("{UID}{name}")).join(ROOT_DISK);
            assert_eq!(fs::read_to_string(disk).unwrap(), content);
        }
        assert_eq!(fs::read_dir(lost).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn the_images_of_guests_that_nobody_knows_are_found() {
        let state = tempfile::tempdir().unwrap();
        let disks = Disks::new(state.path()).unwrap();
        let others = UID.replace('4', "5");
        for (uid, base) in [(UID, "one"), (&others, "two")] {
            let base = state.path().join(base);
            qemu_img(&["create", "-f", "qcow2", base.to_str().unwrap(), "1M"]);
            let guest = disks.guest(uid).unwrap();
            let made = guest.create_root_disk(&base, DiskFormat::Qcow2, Size::gib(1));
            made.await.unwrap();
        }
        let (one, two) = (state.path().join("one"), state.path().join("two"));
        let none = BTreeSet::new();
        disks.set_aside(UID).await.unwrap();
        let mut bases = disks.bases(&none).unwrap();
        bases.sort();
        assert_eq!(bases, [one.clone(), two]);
        // What was set aside is nobody's, whoever has its name now.
        let known = BTreeSet::from([UID.to_owned(), others]);
        assert_eq!(disks.bases(&known).unwrap(), std::slice::from_ref(&one));
        // Without the link the disk is asked, and while QEMU's user has it, the link.
        let folder = disks.guest(&UID.replace('4', "5")).unwrap();
        fs::write(folder.root_disk(), "not to be read").unwrap();
        assert_eq!(disks.bases(&none).unwrap().len(), 2);
        fs::remove_file(state.path().join("lost+found").join(UID).join(BASE)).unwrap();
        assert_eq!(disks.bases(&known).unwrap(), [one]);
        let torn = disks.guest(UID).unwrap();
        torn.create().unwrap();
        fs::write(torn.root_disk(), "torn").unwrap();
        assert!(disks.bases(&none).is_err());
    }

    #[test]
    fn a_disk_that_cannot_be_looked_for_is_not_absent() {
        let state = tempfile::tempdir().unwrap();
        let guest = Disks::new(state.path()).unwrap().guest(UID).unwrap();
        fs::write(guest.path(), "in the way").unwrap();
        assert!(guest.has_root_disk().is_err() && guest.has_seed().is_err());
    }

    #[test]
    fn only_a_uuid_becomes_a_path() {
        let state = tempfile::tempdir().unwrap();
        let disks = Disks::new(state.path()).unwrap();
        for uid in [
            "",
            ".",
            "../../../../../../../../../../../etc",
            "4BA4E3EE-7ED1-4BD8-A8B0-AE1A0B5A5D35",
            "4ba4e3ee7ed14bd8a8b0ae1a0b5a5d35",
            "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d3/",
            "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35\n",
        ] {
            assert!(
                matches!(disks.guest(uid), Err(DiskError::NotAUid(_))),
                "{uid}"
            );
        }
    }
}
