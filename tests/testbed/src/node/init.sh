#!/bin/sh
# The first thing that runs in a node: makes the node's view of the file system, then becomes its PID 1.
# usage: init.sh NAME ROOT    (in namespaces of its own; ROOT holds the node's own files, laid out as the node sees them)
set -eu
name=$1 root=$2

hostname "$name"
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
# The node sees its own control group as the root of all. A machine without cgroup2 gives it none.
mount -t cgroup2 cgroup2 /sys/fs/cgroup || true
mount -t tmpfs -o mode=0755 run /run
mkdir -p /run/lock /run/devstack

# Files that every node has its own of. The one below /var/lib/kilonova comes last: it hides ROOT itself.
for path in etc/hosts etc/hostname etc/resolv.conf etc/machine-id etc/libvirt var/log var/cache/libvirt \
	var/lib/libvirt var/lib/swtpm-localca var/lib/kilonova; do
	mount --bind "$root/$path" "/$path"
done

# The node's own devices: those that guests and daemons use, and never /dev/kvm. Guests are emulated here, and a
# /dev/kvm that libvirt can open but QEMU's user cannot makes libvirt throw its cached capabilities away and probe QEMU
# again at every definition, which takes ten seconds and more. (Hiding it by a mount of its own would not do: libvirt
# fails to carry such a mount into the guests' mount namespaces.)
dev=/run/devstack/dev
mkdir "$dev"
mount -t tmpfs -o mode=0755 dev "$dev"
mkdir "$dev/pts" "$dev/shm" "$dev/net"
for device in null zero full random urandom tty net/tun vhost-net vhost-vsock; do
	[ ! -e "/dev/$device" ] || cp -a "/dev/$device" "$dev/$device"
done
ln -s /proc/self/fd "$dev/fd"
ln -s fd/0 "$dev/stdin"
ln -s fd/1 "$dev/stdout"
ln -s fd/2 "$dev/stderr"
ln -s pts/ptmx "$dev/ptmx"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$dev/pts"
mount -t tmpfs -o mode=1777 shm "$dev/shm"
# What was mounted below the machine's /dev goes, too: hidden mounts confuse libvirt when it makes guests their /dev.
umount --recursive --lazy /dev
mount --move "$dev" /dev

: >/run/devstack/booted
# tini reaps: libvirt waits for ever on a QEMU that has ended and that nobody has reaped.
exec tini -- sleep infinity
