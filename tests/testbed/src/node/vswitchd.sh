#!/bin/sh
# Becomes ovs-vswitchd. A switch in userspace makes its bridges' own links, and takes them along when it ends; so each
# time it starts, the one that carries the tunnels needs its address again.
# usage: vswitchd.sh ADDRESS
set -eu
address=$1

(
	until ip address add "$address" dev br-phy 2>/dev/null; do
		sleep 0.02
	done
	ethtool -K br-phy tx off >/dev/null
	ip link set br-phy up
) &
exec ovs-vswitchd --pidfile -vsyslog:off -vconsole:info
