#!/bin/sh
# PID 1 of the tiny guest until busybox's init takes over: kernel file systems
# and drivers, nothing that can wait or fail for reasons outside the guest.
export PATH=/bin:/sbin
mount -t devtmpfs -o mode=0755 dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=0755 run /run

# Each round finds the devices that the drivers of the round before brought up:
# the PCI functions, the virtio devices on them, the SCSI disks on those.
for round in 1 2 3; do
    cat /sys/bus/*/devices/*/modalias 2>/dev/null | sort -u >/run/modalias.new
    [ -e /run/modalias ] && cmp -s /run/modalias /run/modalias.new && break
    mv /run/modalias.new /run/modalias
    # shellcheck disable=SC2046 # one word is one device
    modprobe -a -q $(cat /run/modalias) 2>/dev/null
done
# These must be there before a device is: for the power button, for hot-plug.
modprobe -a -q evdev virtio_net virtio_blk 2>/dev/null
exec /bin/linuxrc
