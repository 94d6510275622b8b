#!/bin/sh
# A sign of life each second, so that a test can see that a guest was never
# paused, and the look-out for network cards that were plugged in or pulled out.
# `touch /run/no-tick` silences it.
. /lib/kilonova/common.sh

# Whether cards and their folders differ. Only builtins: this runs each second.
changed() {
    for card in /sys/class/net/*/device; do
        [ -d "$card" ] || continue # there is no card
        card=${card%/device}
        [ -d /run/dhcp/"${card##*/}" ] || return 0
    done
    for card in /run/dhcp/*; do
        [ "$card" = '/run/dhcp/*' ] || [ -d /sys/class/net/"${card##*/}" ] || return 0
    done
    return 1
}

while :; do
    sleep 1
    # The first cards are for start.sh, after user-data.
    [ -d /run/dhcp ] && changed && /lib/kilonova/nics.sh
    read -r uptime rest </proc/uptime
    [ -e /run/no-tick ] || echo "kilonova-tiny: tick ${uptime%.*}" >/dev/console
done
