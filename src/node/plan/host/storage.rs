//! The condition `StorageReady`: disks of guests can be made and kept.

use std::path::PathBuf;

use crate::{
    api::{condition::Fact, value::Size},
    node::plan::capabilities::QemuUser,
};

const KIND: &str = "StorageReady";

/// Less is of no use: downloads leave 1 GiB free in any case, and an image and a disk need something too.
const SIZE_MIN: Size = Size::gib(2);

/// Where guests are kept.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The agent's folder for them.
    pub path: PathBuf,
    /// What was found there, or why nothing was.
    pub folder: Result<Folder, String>,
    /// Whether the agent finds the program that makes disks.
    pub has_qemu_img: bool,
    /// Why the agent could not begin to work in the folder, if it could not.
    pub failure: Option<String>,
}

/// What was found of the folder.
#[derive(Clone, Copy, Debug)]
pub struct Folder {
    /// Size of its file system.
    pub size: Size,
    /// Whether that is mounted to be read only.
    pub read_only: bool,
    /// Whether the agent may make files in it.
    pub writable: bool,
    /// Its nine bits of read, write and execute.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Storage {
    /// How much there is for guests: nothing if that cannot be told, so that nothing is promised.
    pub fn size(&self) -> Size {
        self.folder
            .as_ref()
            .map_or(Size::bytes(0), |folder| folder.size)
    }
}

pub(super) fn fact(storage: &Storage, qemu: Option<QemuUser>) -> Fact {
    let path = storage.path.display();
    let no = |reason, message| Fact::no(KIND, reason, message);
    let folder = match &storage.folder {
        Ok(folder) => folder,
        Err(why) => {
            return no(
                "NotFound",
                format!(
                    "the agent cannot look at its folder {path} ({why}): make it on the host; an agent in a pod must have \
                     it at the same path"
                ),
            );
        }
    };
    if folder.read_only {
        return no(
            "ReadOnly",
            format!(
                "the file system of {path} is mounted read-only: if errors of the disk made it so, `dmesg` tells them; \
                 else `mount -o remount,rw` it, or choose another folder by --state-dir"
            ),
        );
    }
    if !folder.writable {
        return no(
            "NotWritable",
            format!(
                "the agent may not make files in {path}: it must run as root, and own the folder (`chown root:root \
                 {path} && chmod 0755 {path}`)"
            ),
        );
    }
    if qemu.is_some_and(|user| !lets_through(folder, user)) {
        return no(
            "Closed",
            format!(
                "QEMU cannot reach the disks in {path}, which others may not pass through: `chmod o+x {path}`"
            ),
        );
    }
    if folder.size < SIZE_MIN {
        return no(
            "TooSmall",
            format!(
                "the file system of {path} has {}, and {SIZE_MIN} are the least: mount a larger one there, or choose \
                 another folder by --state-dir",
                folder.size
            ),
        );
    }
    if !storage.has_qemu_img {
        return no(
            "QemuImgMissing",
            "the agent finds no qemu-img on its PATH, and cannot make disks: it is part of Kilonova's image; an agent \
             without a pod needs it on the host. Debian: `apt install qemu-utils`; Fedora, RHEL: `dnf install qemu-img`"
                .to_owned(),
        );
    }
    match &storage.failure {
        Some(why) => no("Failed", format!("the agent cannot work in {path}: {why}")),
        None => Fact::yes(KIND, "Usable", format!("disks can be made in {path}")),
    }
}

fn lets_through(folder: &Folder, user: QemuUser) -> bool {
    let grants = |shift: u32| folder.mode >> shift & 1 == 1;
    user.uid == 0
        || grants(0)
        || (user.uid == folder.uid && grants(6))
        || (user.gid == folder.gid && grants(3))
}
