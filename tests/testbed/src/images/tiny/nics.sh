#!/bin/sh
# Starts a DHCP client for each network card that has none yet, and the web
# server with the first card. Called again and again, so that a card plugged in
# later is found too.
. /lib/kilonova/common.sh

mkdir -p /run/dhcp
for card in /sys/class/net/*; do
    card=${card##*/}
    [ "$card" = lo ] && continue
    [ -d /sys/class/net/"$card"/device ] || continue
    mkdir /run/dhcp/"$card" 2>/dev/null || continue # somebody was here before
    ip link set "$card" up
    udhcpc -f -i "$card" -s /lib/kilonova/dhcp.sh -t 4 -T 2 -A 3 -O mtu \
        -x "hostname:$(hostname)" >/dev/null 2>&1 &
    mkdir /run/httpd 2>/dev/null && httpd -p 80 -h /srv/www
done
exit 0
