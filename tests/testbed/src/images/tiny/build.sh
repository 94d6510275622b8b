# Builds the tiny guest: Debian's cloud kernel and a busybox initramfs on a
# disk that boots. Runs in a scratch folder that holds the guest's own files.
. ./lib.sh

step "downloading the kernel and busybox"
kernel=$(apt-cache depends --important linux-image-cloud-amd64 |
    awk '$1 == "Depends:" { print $2; exit }')
[ -n "$kernel" ] || { apt-get -q update; kernel=$(apt-cache depends --important \
    linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2; exit }'); }
[ -n "$kernel" ] || { echo "apt knows no linux-image-cloud-amd64" >&2; exit 1; }
unpack packages "$kernel" busybox-static shim-signed grub-efi-amd64-signed
release=${kernel#linux-image-}

step "making the initramfs"
mkdir -p root/bin root/sbin root/dev root/proc root/sys root/run root/tmp \
    root/etc/acpi/PWRF root/lib/kilonova root/srv/www
cp packages/bin/busybox root/bin/busybox
# The one program is called by many names; `linuxrc` is its init.
for name in $(packages/bin/busybox --list); do
    [ "$name" = busybox ] || ln -s busybox "root/bin/$name"
done
ln -s ../bin/busybox root/sbin/modprobe # where the kernel itself looks for it
install -m 755 init.sh root/init
install -m 755 start.sh console.sh power-button.sh nics.sh tick.sh dhcp.sh root/lib/kilonova/
install -m 755 nettool root/bin/nettool
install -m 644 common.sh metadata.awk userdata.awk root/lib/kilonova/
install -m 644 inittab root/etc/inittab
ln -s /lib/kilonova/power-button.sh root/etc/acpi/PWRF/00000080
ln -s /run/resolv.conf root/etc/resolv.conf

# Only the modules that a libvirt guest can need, with what they depend on.
modules="virtio_pci virtio_blk virtio_net virtio_scsi virtio_console virtio_balloon
    virtio_rng virtio_input ata_piix sd_mod sr_mod vfat isofs nls_cp437 nls_ascii
    nls_utf8 button evdev"
depmod -b packages "$release"
for module in $modules; do
    modprobe -d "$PWD/packages" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r file; do
    below=${file#"$PWD/packages/"}
    mkdir -p "root/${below%/*}"
    cp "$file" "root/$below"
done
cp packages/lib/modules/"$release"/modules.builtin* packages/lib/modules/"$release"/modules.order \
    root/lib/modules/"$release"/
depmod -b root "$release"
# busybox reads the text indexes; the binary ones would only take memory.
rm -f root/lib/modules/"$release"/*.bin root/lib/modules/"$release"/modules.builtin*
(cd root && find . | cpio -o -H newc --quiet -R 0:0) | gzip -9 >initrd.img

step "making the disk"
# Guests run under emulation: the mitigations cost seconds there and protect
# nobody. Warnings of the kernel (an NMI, for one) belong on the console.
boot_partition boot.fat 40 "packages/boot/vmlinuz-$release" initrd.img packages \
    "console=ttyS0,115200 loglevel=5 mitigations=off random.trust_cpu=on panic=10"
# The second partition is one record that counts boots, see start.sh.
truncate -s 1M state.raw
printf 'kilonova-tiny-state\nboots=0\n' | dd of=state.raw conv=notrunc status=none
truncate -s 64M disk.raw
boot_disk disk.raw boot.fat state.raw da
finish disk.raw
