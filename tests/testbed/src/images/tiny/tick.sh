#!/bin/sh
# A sign of life each second, so that a test can see that a guest was never
# paused, and the look-out for network cards that were plugged in.
# `touch /run/no-tick` silences it.
. /lib/kilonova/common.sh

while :; do
    sleep 1
    # The first cards are for start.sh, after user-data.
    [ -d /run/dhcp ] && for card in /sys/class/net/*; do
        [ -d /run/dhcp/"${card##*/}" ] || [ "${card##*/}" = lo ] || /lib/kilonova/nics.sh
    done
    read -r uptime rest </proc/uptime
    [ -e /run/no-tick ] || echo "kilonova-tiny: tick ${uptime%.*}" >/dev/console
done
