//! Decides whether the first bytes of a disk image are safe to hand to QEMU.
//!
//! The file is hostile until this module has agreed to it. It reads the bytes itself, with bounds on everything,
//! and must never open the file, follow a name that the file contains or let a tool guess a format: a backing
//! file or an external data file in an image would show the node's own files to its guest.

mod qcow2;
mod signature;
#[cfg(test)]
mod tests;

use crate::api::{image::DiskFormat, value::Size};

pub use signature::Content;

/// How many bytes [`inspect`] wants to see: one cluster of QEMU's default size, which holds the whole header of
/// every image that `qemu-img` makes and reaches past the ISO 9660 mark at 32 KiB.
pub const HEAD_BYTES: usize = 64 * 1024;

/// The largest disk that an image may describe. Also the most that `api::value::Size` lets a user ask for.
pub const VIRTUAL_SIZE_MAX: u64 = 1 << 50;

/// What a safe image describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Size of the disk, in bytes.
    pub virtual_size: u64,
}

/// Why an image is refused. Each message says what was found and what the user can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// The file is something else than was declared.
    #[error("the file is {found}, but the image declares format {declared:?}: {}", found.advice())]
    OtherFormat {
        /// What the image object says.
        declared: DiskFormat,
        /// What the bytes say.
        found: Content,
    },
    /// Declared qcow2, and the bytes say nothing.
    #[error("the file is no qcow2 image: check that the image's address leads to the image itself")]
    NotQcow2,
    /// Declared raw, and nothing could boot from it.
    #[error(
        "the file is no bootable disk: it has neither a boot record (the bytes 55 AA at 510) nor an ISO 9660 file \
         system; check that the image's address leads to the image of a whole disk"
    )]
    NoDisk,
    /// The caller has not read what it should have.
    #[error(
        "only {have} of the first {need} bytes of the file could be read: the file is damaged, upload it again"
    )]
    Unread {
        /// Bytes at hand.
        have: usize,
        /// Bytes that there should be.
        need: u64,
    },
    /// The file ends inside the header.
    #[error("the qcow2 header is cut off after {0} bytes: upload the image again")]
    HeaderCutOff(usize),
    /// A version of the format that QEMU does not know.
    #[error(
        "the image is qcow2 version {0}, and only 2 and 3 are known: convert it with `qemu-img convert -O qcow2`"
    )]
    Version(u32),
    /// The disk continues in another file.
    #[error(
        "the image has a backing file ({0}): flatten it with `qemu-img convert -O qcow2`, which writes everything \
         into one file"
    )]
    BackingFile(String),
    /// The disk's data is in another file.
    #[error(
        "the image keeps its data in an external file: convert it with `qemu-img convert -O qcow2`, which writes \
         everything into one file"
    )]
    DataFile,
    /// The content is encrypted.
    #[error("the image is encrypted: decrypt it with `qemu-img convert -O qcow2`")]
    Encrypted,
    /// It was not closed properly.
    #[error(
        "the image was not closed properly: repair it with `qemu-img check -r all`, and take its digest again"
    )]
    Dirty,
    /// Somebody has found it to be corrupt.
    #[error(
        "the image is marked as corrupt: repair it with `qemu-img check -r all`, and take its digest again"
    )]
    Corrupt,
    /// It needs something that this module knows nothing of.
    #[error(
        "the image needs qcow2 features that are not known here (bits {0:#x}): convert it with \
         `qemu-img convert -O qcow2`"
    )]
    UnknownFeatures(u64),
    /// It holds states of the disk besides the present one.
    #[error(
        "the image holds {0} internal snapshots, which servers would never see: drop them with \
         `qemu-img convert -O qcow2`"
    )]
    Snapshots(u32),
    /// A size of the disk that cannot be.
    #[error(
        "the image describes a disk of {0} bytes: a disk has at least one byte and at most 1 PiB"
    )]
    VirtualSize(u64),
    /// A field that no program would have written so.
    #[error(
        "the qcow2 header is malformed ({0}): check the image with `qemu-img check`, or make it again with \
         `qemu-img convert -O qcow2`"
    )]
    Malformed(&'static str),
}

/// Says what disk an image describes, or why it is not safe to use.
///
/// Assumptions: `head` holds the first `min(file_size, HEAD_BYTES)` bytes of the file.
///
/// Guarantees: an image that is accepted is what was declared, lies in one file and depends on no other; the tables
/// that its header points to lie within the file.
pub fn inspect(declared: DiskFormat, head: &[u8], file_size: u64) -> Result<Shape, Unsafe> {
    let need = file_size.min(HEAD_BYTES as u64);
    if head.len() as u64 != need {
        return Err(Unsafe::Unread {
            have: head.len(),
            need,
        });
    }
    let found = signature::recognise(head);
    match (declared, found) {
        (DiskFormat::Qcow2, Some(Content::Qcow2)) => qcow2::inspect(head, file_size),
        (DiskFormat::Qcow2, None) => Err(Unsafe::NotQcow2),
        (DiskFormat::Raw, Some(Content::BootableDisk | Content::Iso9660)) => raw(file_size),
        (DiskFormat::Raw, None) => Err(Unsafe::NoDisk),
        (declared, Some(found)) => Err(Unsafe::OtherFormat { declared, found }),
    }
}

/// The name of the file that a qcow2 disk of our own continues in; none of one that stands alone. Nobody may open what
/// it names: it says which image a guest's disk needs, and no more.
pub fn backing_file(head: &[u8]) -> Result<Option<String>, Unsafe> {
    match signature::recognise(head) {
        Some(Content::Qcow2) => qcow2::backing_file(head),
        Some(_) | None => Err(Unsafe::NotQcow2),
    }
}

/// What a file seems to be, in words; for messages about content that is not what was promised.
pub fn describe(head: &[u8]) -> Option<Content> {
    signature::recognise(head)
}

/// The largest file that can sensibly hold a disk of this size. Downloads stop there.
///
/// A raw file is as large as its disk. A qcow2 file that stores every cluster adds at most 24 bytes of tables to
/// each cluster of 512 bytes (16 for an L2 entry, 8 for a refcount), which is less than one sixteenth; 64 MiB stand
/// for headers, the L1 table and clusters that were freed but not returned.
pub fn file_size_limit(format: DiskFormat, disk: Size) -> u64 {
    let bytes = disk.as_bytes();
    match format {
        DiskFormat::Raw => bytes,
        DiskFormat::Qcow2 => bytes.saturating_add(bytes / 16).saturating_add(64 << 20),
    }
}

fn raw(file_size: u64) -> Result<Shape, Unsafe> {
    if file_size > VIRTUAL_SIZE_MAX {
        return Err(Unsafe::VirtualSize(file_size));
    }
    Ok(Shape {
        virtual_size: file_size,
    })
}
