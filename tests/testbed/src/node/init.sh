#!/bin/sh
# The first thing that runs in a node: makes the node's view of the file system, then becomes its PID 1.
# usage: init.sh NAME ROOT PATH…   (in namespaces of its own; ROOT holds the node's own files, laid out as the node sees
# them, and each PATH, relative to both, is a file or folder that the node has its own of)
set -eu
name=$1 root=$2
shift 2

hostname "$name"
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys

# The node sees its own control groups as the roots of all, in the hierarchies that the machine has.
if grep -q '^[1-9]' /proc/self/cgroup; then
	mount -t tmpfs -o mode=0755 cgroup /sys/fs/cgroup
	while IFS=: read -r number controllers path; do
		case $controllers in
		'') continue ;; # cgroup2 without controllers, which nobody misses
		name=*) options=none,$controllers ;;
		*) options=$controllers ;;
		esac
		mkdir "/sys/fs/cgroup/${controllers#name=}"
		mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/${controllers#name=}"
	done </proc/self/cgroup
else
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi

mount -t tmpfs -o mode=0755 run /run
mkdir -p /run/lock /run/devstack /run/openvswitch /run/ovn

# What is plugged into the node's switch is no link of the node's own, and gets no address that guests could talk to.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6

# What a kubelet would set for the whole machine is read-only in a node, and has the value that it wants.
while read -r sysctl value; do
	echo "$value" >"/run/devstack/sysctl.$value"
	mount --bind "/run/devstack/sysctl.$value" "/proc/sys/$sysctl"
done <<-END
	kernel/keys/root_maxbytes 25000000
	kernel/keys/root_maxkeys 1000000
	kernel/panic 10
	kernel/panic_on_oops 1
	vm/overcommit_memory 1
	vm/panic_on_oom 0
END

# What a node makes where it has nothing of its own, mount points included, is gone with it, and never the machine's.
mkdir /run/devstack/root
mount --bind "$root" /run/devstack/root
for folder in etc var/lib; do
	mkdir -p "/run/devstack/new/$folder" "/run/devstack/work/$folder"
	mount -t overlay -o "lowerdir=/$folder,upperdir=/run/devstack/new/$folder,workdir=/run/devstack/work/$folder" \
		overlay "/$folder"
done
for path; do
	[ -e "/$path" ] || mkdir -p "/$path"
	mount --bind "/run/devstack/root/$path" "/$path"
done
umount /run/devstack/root

# The node's own devices: those that guests and daemons use, and never /dev/kvm. Guests are emulated here, and a
# /dev/kvm that libvirt can open but QEMU's user cannot makes libvirt throw its cached capabilities away and probe QEMU
# again at every definition, which takes ten seconds and more. (Hiding it by a mount of its own would not do: libvirt
# fails to carry such a mount into the guests' mount namespaces.)
dev=/run/devstack/dev
mkdir "$dev"
mount -t tmpfs -o mode=0755 dev "$dev"
mkdir "$dev/pts" "$dev/shm" "$dev/net"
for device in null zero full random urandom tty kmsg net/tun vhost-net vhost-vsock; do
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

# Pods share mounts with their host, as they ask for; nothing of it reaches the machine.
mount --make-rshared /

: >/run/devstack/booted
# tini reaps: libvirt waits for ever on a QEMU that has ended and that nobody has reaped.
exec tini -- sleep infinity
