# Builds the real cloud image of this machine's Debian release. Runs in a
# scratch folder and in a mount namespace of its own, in which mmdebstrap may
# mount what maintainer scripts need.
. ./lib.sh

# Where packages come from is for the machine's administrator to say, so the
# guest gets the same sources, as far as they are Debian's.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME)' \
        'Created-By: Packages' 'Origin: Debian' |
        awk -v release="$release" 'index($NF, release) == 1 { NF--; print }' | sort -u
}
[ -n "$(sources)" ] || apt-get -q update
[ -n "$(sources)" ] || { echo "apt has no sources of Debian $release"; exit 1; }
sources >sources.list

step "installing Debian $release into a folder"
# growpart needs fdisk; systemd-networkd is what cloud-init configures when
# neither netplan nor ifupdown is there.
packages="systemd-sysv udev dbus linux-image-cloud-amd64 initramfs-tools zstd
    cloud-init cloud-guest-utils fdisk e2fsprogs openssh-server sudo
    qemu-guest-agent iproute2 iputils-ping netbase systemd-resolved ca-certificates
    curl less vim-tiny"
# The modules that reach the root disk of a libvirt guest, instead of all.
cat >initramfs.conf <<X
MODULES=list
COMPRESS=zstd
X
printf '%s\n' virtio_pci virtio_blk virtio_scsi ata_piix sd_mod >initramfs.modules
# A build that is cut short starts again, so nothing needs to be on disk at once.
mmdebstrap --mode=root --format=directory --variant=minbase \
    --include="$(echo $packages | tr ' ' ',')" \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --essential-hook='install -D -m 644 initramfs.conf "$1/etc/initramfs-tools/conf.d/kilonova"' \
    --essential-hook='install -D -m 644 initramfs.modules "$1/usr/share/initramfs-tools/modules.d/kilonova"' \
    "$release" root - <sources.list

step "configuring the guest"
sed -i /force-unsafe-io/d root/etc/dpkg/dpkg.cfg.d/*
uuid=$(cat /proc/sys/kernel/random/uuid)
echo "UUID=$uuid / ext4 defaults,errors=remount-ro 0 1" >root/etc/fstab
install -m 644 cloud.cfg root/etc/cloud/cloud.cfg.d/99_kilonova.cfg
# Each guest makes its own of these.
rm -f root/etc/ssh/ssh_host_* root/var/lib/dbus/machine-id root/var/lib/systemd/random-seed
: >root/etc/machine-id
echo debian >root/etc/hostname
# A guest without a network card must not wait for one.
mkdir -p root/etc/systemd/system/systemd-networkd-wait-online.service.d
cat >root/etc/systemd/system/systemd-networkd-wait-online.service.d/kilonova.conf <<X
[Unit]
ConditionPathExistsGlob=|/sys/class/net/en*
ConditionPathExistsGlob=|/sys/class/net/eth*
[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30
X
chroot root systemctl -q enable systemd-networkd systemd-resolved
ln -sf ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf
# Nothing that wakes up by itself and takes the emulated processor, and nothing
# at boot that no guest of ours uses.
chroot root systemctl -q mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer dpkg-db-backup.timer systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount \
    dev-hugepages.mount

step "making the disk"
# The boot partition holds the kernel, as the boot loaders read no ext4; a
# kernel upgraded inside a guest is not the one that boots.
unpack efi shim-signed grub-efi-amd64-signed
boot_partition boot.fat 64 root/boot/vmlinuz-* root/boot/initrd.img-* efi \
    "root=UUID=$uuid ro console=tty0 console=ttyS0,115200 loglevel=5 mitigations=off random.trust_cpu=on"
rm root/boot/*
# The file system is written as a whole from the folder; nothing is mounted.
# Tables that are complete now spare the guest from filling them in later.
truncate -s 2G disk.raw
truncate -s $((2048 - 64 - 1))M root.ext4
mkfs.ext4 -q -U "$uuid" -L root -m 1 -J size=16 \
    -E lazy_itable_init=0,lazy_journal_init=0 -d root root.ext4
boot_disk disk.raw boot.fat root.ext4 83
rm root.ext4
finish disk.raw
