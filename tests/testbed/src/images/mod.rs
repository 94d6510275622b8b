//! Guest images, made on this machine from Debian's own packages: [`tiny`] for tests that need a guest, [`debian`]
//! for those that need a real one. See [`console`] for what tiny says on its serial console.
//!
//! Both disks boot by BIOS, by UEFI and by UEFI with Secure Boot. An image is built once into the cache, under a
//! name that carries a digest of its recipe. Never mounts anything on the machine and never uses a loop device:
//! file systems are filled as they are made.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::progress::Progress;

pub mod console;

mod debian;
mod tiny;

mod build;
mod program;
mod recipe;

/// The Debian packages that building needs on this machine. What goes into the guests is fetched and unpacked, not
/// installed.
pub const PACKAGES: &[&str] = &[
    // The root file system of `debian`.
    "mmdebstrap",
    // The initramfs of `tiny`, and the list of what each kernel module stands on.
    "cpio",
    "kmod",
    // Partition table, file systems and their contents.
    "fdisk",
    "dosfstools",
    "mtools",
    "e2fsprogs",
    // The BIOS boot loader.
    "syslinux",
    "syslinux-common",
    // qcow2.
    "qemu-utils",
];

/// A disk image in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `tiny` or `debian`.
    pub name: &'static str,
    /// A compressed qcow2 file without a backing file. It is shared: never write to it.
    pub path: PathBuf,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    /// Of the disk that a guest sees.
    pub virtual_size_bytes: u64,
}

/// The guest for tests: Debian's cloud kernel and busybox; boots in seconds under emulation.
///
/// Needs 96 MiB of memory by BIOS, 256 MiB by UEFI (GRUB and the firmware, not the guest).
///
/// It reads a `NoCloud` seed (a disk labelled `cidata` or `CIDATA`, vfat or ISO) and reports on its serial console
/// as [`console`] describes. It sets its hostname from `local-hostname`, lists `public-keys`, asks for an address by
/// DHCP on each network card (also one plugged in later), serves its hostname at `http://ADDRESS/` and its report at
/// `/report`, powers off within a second of the ACPI power button, reboots at ctrl-alt-del, and gives a root shell
/// to whoever presses Enter on the console. Tests run commands in it by [`GuestConsole`](crate::GuestConsole), and have
/// `nettool` there for packets that busybox cannot make or see.
///
/// Each card, whenever it comes, is given what `DHCPv4` (address, MTU, routes, name servers, host name), router
/// advertisements and `DHCPv6` say; what waits for an answer waits beside the boot.
///
/// User-data is run as it is when it begins with `#!` (`/bin/sh` is busybox). Of a `#cloud-config` this much is
/// understood, and the rest passed over: `hostname: NAME`; `runcmd:` with one command a line, either `- COMMAND`
/// or `- [WORD, "WORD"]`, plain or quoted. The guest is `up` when user-data has ended. Files that user-data can
/// touch: `/run/ignore-power-button` and `/run/no-tick`.
pub async fn tiny(cache: &Path, progress: &Progress) -> Result<Image> {
    build::image(&tiny::RECIPE, cache, progress).await
}

/// A real cloud image of this machine's Debian release: systemd, cloud-init (`NoCloud` only), sshd, guest agent, and
/// a root file system that grows to the size of its disk.
pub async fn debian(cache: &Path, progress: &Progress) -> Result<Image> {
    build::image(&debian::RECIPE, cache, progress).await
}
