//! Tells what a file is by the marks that formats put near their start.
//!
//! This is only for refusing a file and for saying why. It must never choose the format that QEMU opens a file with:
//! that is always the declared one.

use std::fmt;

/// What a file seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// QEMU's copy-on-write format, any version but the first.
    Qcow2,
    /// Its first version.
    Qcow1,
    /// `VMware`'s format: sparse, ESX or a descriptor that names other files.
    Vmdk,
    /// Hyper-V's format.
    Vhdx,
    /// Virtual PC's format, when it begins with its footer.
    Vpc,
    /// `VirtualBox`'s format.
    Vdi,
    /// An encrypted volume.
    Luks,
    /// QEMU's enhanced disk.
    Qed,
    /// Parallels' format, old or new.
    Parallels,
    /// Bochs' format.
    Bochs,
    /// Compressed.
    Gzip,
    /// Compressed.
    Xz,
    /// Compressed.
    Zstd,
    /// Compressed.
    Bzip2,
    /// Compressed.
    Lz4,
    /// An archive.
    Zip,
    /// An archive.
    SevenZip,
    /// An archive, such as an OVA.
    Tar,
    /// A program.
    Elf,
    /// A web page, or an error of an object store.
    Markup,
    /// A CD.
    Iso9660,
    /// A disk with a boot record.
    BootableDisk,
}

/// Marks at fixed offsets. The first that fits wins, so the more specific ones come first: a disk image of another
/// format may well carry a boot record of its own.
const MARKS: [(usize, &[u8], Content); 24] = [
    (0, b"QFI\xfb\x00\x00\x00\x01", Content::Qcow1),
    (0, b"QFI\xfb", Content::Qcow2),
    (0, b"KDMV", Content::Vmdk),
    (0, b"COWD", Content::Vmdk),
    (0, b"# Disk DescriptorFile", Content::Vmdk),
    (0, b"vhdxfile", Content::Vhdx),
    (0, b"conectix", Content::Vpc),
    (64, b"\x7f\x10\xda\xbe", Content::Vdi),
    (0, b"LUKS\xba\xbe", Content::Luks),
    (0, b"QED\0", Content::Qed),
    (0, b"WithoutFreeSpace", Content::Parallels),
    (0, b"WithouFreSpacExt", Content::Parallels),
    (0, b"Bochs Virtual HD Image", Content::Bochs),
    (0, b"\x1f\x8b\x08", Content::Gzip),
    (0, b"\xfd7zXZ\0", Content::Xz),
    (0, b"\x28\xb5\x2f\xfd", Content::Zstd),
    (0, b"BZh", Content::Bzip2),
    (0, b"\x04\x22\x4d\x18", Content::Lz4),
    (0, b"PK\x03\x04", Content::Zip),
    (0, b"7z\xbc\xaf\x27\x1c", Content::SevenZip),
    (257, b"ustar", Content::Tar),
    (0, b"\x7fELF", Content::Elf),
    (32_769, b"CD001", Content::Iso9660),
    (510, b"\x55\xaa", Content::BootableDisk),
];

/// What the file with this beginning seems to be.
pub(super) fn recognise(head: &[u8]) -> Option<Content> {
    if is_vmdk_descriptor(head) {
        return Some(Content::Vmdk);
    }
    if is_markup(head) {
        return Some(Content::Markup);
    }
    MARKS
        .iter()
        .find(|(offset, mark, _)| head.get(*offset..offset + mark.len()) == Some(*mark))
        .map(|(_, _, content)| *content)
}

/// Whether QEMU would take this for the text that describes a VMDK: comments and empty lines, then `version=`. Such
/// a text names other files as its extents.
fn is_vmdk_descriptor(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
        .is_some_and(|line| line.to_ascii_lowercase().starts_with(b"version="))
}

/// Whether this is a web page, which is what servers like to send instead of a file.
fn is_markup(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    [&b"<!doctype"[..], b"<html", b"<?xml"].iter().any(|tag| {
        text.get(..tag.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(tag))
    })
}

impl Content {
    /// What a user who meant this to be an image can do.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Qcow2 => "declare `format: Qcow2`",
            Self::BootableDisk | Self::Iso9660 => "declare `format: Raw`",
            Self::Qcow1
            | Self::Vmdk
            | Self::Vhdx
            | Self::Vpc
            | Self::Vdi
            | Self::Luks
            | Self::Qed
            | Self::Parallels
            | Self::Bochs => {
                "convert it with `qemu-img convert -O qcow2`, and declare `format: Qcow2`"
            }
            Self::Gzip
            | Self::Xz
            | Self::Zstd
            | Self::Bzip2
            | Self::Lz4
            | Self::Zip
            | Self::SevenZip
            | Self::Tar => "unpack it, and serve the disk image that is inside",
            Self::Elf | Self::Markup => "check that the image's address leads to the image itself",
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qcow2 => "a qcow2 image",
            Self::Qcow1 => "an image of the old qcow format",
            Self::Vmdk => "a VMDK image",
            Self::Vhdx => "a VHDX image",
            Self::Vpc => "a VHD image",
            Self::Vdi => "a VDI image",
            Self::Luks => "a LUKS container",
            Self::Qed => "a QED image",
            Self::Parallels => "a Parallels image",
            Self::Bochs => "a Bochs image",
            Self::Gzip => "compressed with gzip",
            Self::Xz => "compressed with xz",
            Self::Zstd => "compressed with zstd",
            Self::Bzip2 => "compressed with bzip2",
            Self::Lz4 => "compressed with lz4",
            Self::Zip => "a zip archive",
            Self::SevenZip => "a 7z archive",
            Self::Tar => "a tar archive",
            Self::Elf => "a program (ELF)",
            Self::Markup => "a web page (HTML or XML)",
            Self::Iso9660 => "an ISO 9660 image",
            Self::BootableDisk => "a raw disk with a boot record",
        })
    }
}
