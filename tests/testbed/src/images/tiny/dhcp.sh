#!/bin/sh
# What the clients of nics.sh do with their answers: udhcpc's, and nettool's for
# IPv6. $1 is the event, the answer is in the environment. Everything of a card
# lies in its own folder, so that cards cannot overwrite each other's.
. /lib/kilonova/common.sh
own=/run/dhcp/$interface

# A card is reported when its address changes, not at each renewal.
announce() {
    last=$own/reported-$1
    [ "$(cat "$last" 2>/dev/null)" = "$2" ] && return
    echo "$2" >"$last"
    report "nic $interface $(cat /sys/class/net/"$interface"/address) $2"
}

# The first card's routes and name servers come before the others'.
metric() { cat /sys/class/net/"$interface"/ifindex; }

# The name servers of all cards. The file is replaced in one step, for readers;
# when another card's script did so at the same time, the last to look sees it.
resolvers() {
    while :; do
        cat /run/dhcp/*/search /run/dhcp/*/dns-* 2>/dev/null >/run/resolv.conf.$$
        mv /run/resolv.conf.$$ /run/resolv.conf
        cat /run/dhcp/*/search /run/dhcp/*/dns-* 2>/dev/null | cmp -s - /run/resolv.conf && break
    done
}

# keep FILE KEYWORD WORD...: name servers, each in a line, or search domains.
keep() {
    file=$own/$1 keyword=$2
    shift 2
    for word in "$@"; do echo "$keyword $word"; done >"$file"
}

# Option 121, pairs of a prefix and a router. Where it is there, option 3 does
# not count (RFC 3442). A router of 0.0.0.0 means that the prefix is on the link.
routes() {
    if [ $# = 0 ]; then
        for gateway in $router; do
            ip route replace default via "$gateway" dev "$interface" metric "$(metric)"
            break
        done
    fi
    while [ $# -ge 2 ]; do
        prefix=$1 gateway=$2
        shift 2
        [ "$prefix" = 0.0.0.0/0 ] && prefix=default
        if [ "$gateway" = 0.0.0.0 ]; then
            ip route replace "$prefix" dev "$interface" metric "$(metric)"
        else
            # A router outside the card's own network, as clouds have it.
            ip route get "$gateway" 2>/dev/null | grep -q " dev $interface " ||
                ip route replace "$gateway" dev "$interface"
            ip route replace "$prefix" via "$gateway" dev "$interface" metric "$(metric)"
        fi
    done
}

case $1 in
deconfig)
    ip -4 addr flush dev "$interface"
    ;;
bound | renew)
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    # shellcheck disable=SC2086 # lists of words
    routes $staticroutes
    # shellcheck disable=SC2086
    keep dns-4 nameserver $dns
    # shellcheck disable=SC2086
    set -- ${search:-$domain}
    keep search search ${1:+"$*"}
    resolvers
    # Who has a name from its seed keeps it.
    [ -n "$hostname" ] && [ "$(hostname)" = kilonova-tiny ] && {
        hostname "$hostname"
        hostname >/srv/www/index.html
    }
    announce 4 "$ip"
    ;;
leasefail)
    announce 4 none
    ;;
rdnss | bound6)
    # shellcheck disable=SC2086
    keep "dns-$1" nameserver $dns
    resolvers
    [ -n "$ip" ] && {
        ip addr add "$ip/128" dev "$interface"
        announce 6 "$ip"
    }
    ;;
gone)
    resolvers
    ;;
esac
exit 0
