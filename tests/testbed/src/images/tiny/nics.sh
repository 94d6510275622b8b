#!/bin/sh
# Makes the processes of network cards follow the cards: a DHCP client and an
# IPv6 client for each that has none yet, and the web server with the first
# card; what a card has left that was unplugged is cleared away, so that the
# next of its name begins anew. Called again and again. Never waits for an
# answer: the clients tell dhcp.sh.
. /lib/kilonova/common.sh

plug() {
    # Linux waits up to a second before it looks for routers, so that not all
    # hosts of a building do so at once.
    echo 0 >/proc/sys/net/ipv6/conf/"$1"/router_solicitation_delay
    nettool ipv6 "$1" /lib/kilonova/dhcp.sh >/dev/null 2>/run/dhcp/"$1"/ipv6.log &
    echo $! >/run/dhcp/"$1"/ipv6.pid
    ip link set "$1" up
    udhcpc -f -i "$1" -s /lib/kilonova/dhcp.sh -t 4 -T 2 -A 3 \
        -O mtu -O staticroutes -O search -x "hostname:$(hostname)" >/dev/null 2>&1 &
    echo $! >/run/dhcp/"$1"/ipv4.pid
    mkdir /run/httpd 2>/dev/null && httpd -p 80 -h /srv/www
}

unplug() {
    kill "$(cat /run/dhcp/"$1"/ipv4.pid)" "$(cat /run/dhcp/"$1"/ipv6.pid)" 2>/dev/null
    rm -r /run/dhcp/"$1"
    interface=$1 /lib/kilonova/dhcp.sh gone
    report "unplugged $1"
}

mkdir -p /run/dhcp
for card in /run/dhcp/*; do
    [ "$card" = '/run/dhcp/*' ] || [ -d /sys/class/net/"${card##*/}" ] || unplug "${card##*/}"
done
for card in /sys/class/net/*/device; do
    [ -d "$card" ] || continue # there is no card
    card=${card%/device}
    card=${card##*/}
    mkdir /run/dhcp/"$card" 2>/dev/null || continue # somebody was here before
    plug "$card"
done
exit 0
