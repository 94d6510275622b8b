#!/bin/sh
# What udhcpc does with its answers. $1 is the event, the answer is in the
# environment.
. /lib/kilonova/common.sh

# A card is reported when its address changes, not at each renewal.
announce() {
    last=/run/dhcp/$interface/reported
    [ "$(cat "$last" 2>/dev/null)" = "$1" ] && return
    echo "$1" >"$last"
    report "nic $interface $(cat /sys/class/net/"$interface"/address) $1"
}

case $1 in
deconfig)
    ip -4 addr flush dev "$interface"
    ;;
bound | renew)
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface"
        break
    done
    for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
    announce "$ip"
    ;;
leasefail)
    announce none
    ;;
esac
