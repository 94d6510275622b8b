#!/bin/sh
# The guest's one-time work after boot: read the seed, count the boot, apply
# user-data, report. Must never wait for something that may not come: a seed or
# a network that is absent is reported and passed over.
. /lib/kilonova/common.sh

# The NoCloud seed: a vfat or ISO disk labelled cidata. Disks behind SCSI or IDE
# appear a moment after their driver, hence the second look.
read_seed() {
    mkdir -p /run/seed /run/mnt
    for try in 1 2 3; do
        for label in cidata CIDATA; do
            device=$(findfs "LABEL=$label" 2>/dev/null) || continue
            for type in vfat iso9660; do
                mount -t "$type" -o ro "$device" /run/mnt 2>/dev/null || continue
                for file in meta-data user-data; do
                    [ -e "/run/mnt/$file" ] && cp "/run/mnt/$file" /run/seed/
                done
                umount /run/mnt
                report "seed $device $type"
                return
            done
        done
        sleep 0.3
    done
    report "seed none"
}

metadata() { awk -v want="$1" -f /lib/kilonova/metadata.awk /run/seed/meta-data 2>/dev/null; }

# The record on the disk's second partition: how often this disk booted, and
# how often since the instance-id last changed. One sector, written as one.
count_boot() {
    boots=0 instance_boots=0 state=
    for disk in /dev/vda2 /dev/sda2 /dev/vd?2 /dev/sd?2; do
        [ -b "$disk" ] || continue
        dd if="$disk" bs=512 count=1 2>/dev/null | tr -d '\000' >/run/state
        if [ "$(head -n 1 /run/state)" = kilonova-tiny-state ]; then
            state=$disk
            break
        fi
    done
    if [ -n "$state" ]; then
        boots=$(($(sed -n 's/^boots=//p' /run/state) + 1))
        instance_boots=1
        [ "$(sed -n 's/^instance=//p' /run/state)" = "$1" ] &&
            instance_boots=$(($(sed -n 's/^instance-boots=//p' /run/state) + 1))
        printf 'kilonova-tiny-state\nboots=%s\ninstance-boots=%s\ninstance=%s\n' \
            "$boots" "$instance_boots" "$1" >/run/state
        dd if=/run/state of="$state" bs=512 count=1 conv=sync,fsync 2>/dev/null ||
            boots=0 instance_boots=0
    fi
    report "root-disk boot-count=$boots"
}

# A script runs as it is; of a #cloud-config, see userdata.awk. Its output goes
# to the console. `up` comes after it, as "everything applied".
apply_user_data() {
    [ -e /run/seed/user-data ] || return
    report "user-data sha256=$(sha256sum /run/seed/user-data | cut -d' ' -f1)"
    case $(head -n 1 /run/seed/user-data) in
    '#!'*) cp /run/seed/user-data /run/user-data ;;
    '#cloud-config'*)
        name=$(awk -v want=hostname -f /lib/kilonova/userdata.awk /run/seed/user-data)
        [ -n "$name" ] && hostname "$name"
        {
            echo '#!/bin/sh'
            awk -v want=runcmd -f /lib/kilonova/userdata.awk /run/seed/user-data
        } >/run/user-data
        ;;
    *) return ;;
    esac
    chmod 700 /run/user-data
    (cd / && exec /run/user-data) </dev/null >/dev/console 2>&1
    report "user-data exit=$?"
}

hostname kilonova-tiny
ip link set lo up
read_seed
name=$(metadata local-hostname)
[ -n "$name" ] && hostname "$name"
instance=$(metadata instance-id | tr -s ' \t' '__' | cut -c 1-300)
instance=${instance:-none}
count_boot "$instance"
metadata public-keys | while read -r key; do report "key $key"; done
apply_user_data
hostname >/srv/www/index.html
ln -s /run/report /srv/www/report
/lib/kilonova/nics.sh
report "up hostname=$(hostname) instance-id=$instance boot=$instance_boots"
