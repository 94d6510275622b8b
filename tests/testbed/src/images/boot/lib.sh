# What both images share: fetching Debian packages without installing them, and
# a boot partition that BIOS, UEFI and UEFI with Secure Boot all start from.
# Sourced by the build scripts, which run in a scratch folder with `sh -eu`.
# Nothing here uses a loop device or a mount, so nothing can leak.

exec 2>&1 # the log has one order

# Lines of this form become the message of the progress bar.
step() { echo "step: $*"; }

# unpack FOLDER PACKAGE...: fetches packages and unpacks them below FOLDER.
# A machine whose package lists are missing or stale gets one update.
unpack() {
    folder=$1
    shift
    mkdir -p debs "$folder"
    fetch "$@" || { apt-get -q update && fetch "$@"; }
    for deb in debs/*.deb; do
        dpkg-deb -x "$deb" "$folder"
        rm "$deb"
    done
}

# apt's download user may not write to a folder that only root can enter, so
# root downloads; apt checks the packages' signed hashes either way.
fetch() { (cd debs && apt-get -q -o APT::Sandbox::User=root download "$@"); }

# boot_partition FILE SIZE_MIB KERNEL INITRD EFI_FOLDER COMMAND_LINE
#
# BIOS:  master boot record -> syslinux -> kernel.
# UEFI:  shim (signed by Microsoft) -> GRUB (signed by Debian) -> kernel
#        (signed by Debian), so the chain also holds under Secure Boot.
# The partition starts at sector 2048, which syslinux must know (-h).
boot_partition() {
    rm -f "$1"
    truncate -s "$2M" "$1"
    mkfs.vfat -n KNBOOT -h 2048 "$1" >/dev/null
    cat >syslinux.cfg <<X
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
 LINUX /vmlinuz
 INITRD /initrd.img
 APPEND $6
X
    cat >grub.cfg <<X
set timeout=0
linux /vmlinuz $6
initrd /initrd.img
boot
X
    # Debian's signed GRUB looks for its configuration in /EFI/debian only.
    mmd -i "$1" ::/EFI ::/EFI/BOOT ::/EFI/debian
    mcopy -i "$1" "$5/usr/lib/shim/shimx64.efi.signed" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$1" "$5/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" ::/EFI/BOOT/grubx64.efi
    mcopy -i "$1" grub.cfg ::/EFI/debian/grub.cfg
    mcopy -i "$1" syslinux.cfg ::/syslinux.cfg
    mcopy -i "$1" "$3" ::/vmlinuz
    mcopy -i "$1" "$4" ::/initrd.img
    syslinux --install "$1"
}

# boot_disk DISK BOOT_PARTITION SECOND_PARTITION SECOND_TYPE
#
# An MBR table: UEFI firmware accepts it, BIOS needs it, growpart can extend
# the second partition. The first is both active (BIOS) and of type EF (UEFI).
# DISK exists already and has the wanted virtual size.
boot_disk() {
    boot_sectors=$(($(stat -c %s "$2") / 512))
    second_start=$((2048 + boot_sectors))
    second_sectors=$(($(stat -c %s "$3") / 512))
    sfdisk -q "$1" <<X
label: dos
start=2048, size=$boot_sectors, type=ef, bootable
start=$second_start, size=$second_sectors, type=$4
X
    dd if=/usr/lib/syslinux/mbr/mbr.bin of="$1" bs=440 count=1 conv=notrunc status=none
    dd if="$2" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
    dd if="$3" of="$1" bs=512 seek="$second_start" conv=notrunc,sparse status=none
}

# finish DISK: the results that the Rust side takes from the scratch folder.
finish() {
    step "compressing the image"
    qemu-img convert -c -O qcow2 -o compat=1.1 "$1" disk.qcow2
    sha256sum disk.qcow2 | cut -d' ' -f1 >disk.sha256
}
