#!/bin/sh
# The first thing that runs outside: makes the network that nodes reach as "public", then becomes its PID 1.
# usage: outside.sh BRIDGE ADDRESS…   (in namespaces of its own)
set -eu
bridge=$1
shift

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=0755 run /run

ip link set lo up
ip link add "$bridge" type bridge
for address; do
	# Nobody else can have it, so there is nothing to wait for.
	ip address add "$address" dev "$bridge" nodad
done
# What leaves through a userspace switch must have its checksums: nobody behind it fills them in.
ethtool -K "$bridge" tx off >/dev/null
ip link set "$bridge" up
exec tini -- sleep infinity
