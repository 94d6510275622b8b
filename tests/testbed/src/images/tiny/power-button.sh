#!/bin/sh
# The ACPI power button. `touch /run/ignore-power-button` makes a guest that
# does not listen, for tests of the hard stop. No disk is mounted, so a clean
# shutdown needs no more than this, and busybox init's grace periods would only
# make tests slower.
. /lib/kilonova/common.sh

if [ -e /run/ignore-power-button ]; then
    report "power-button ignored"
else
    report "power-button"
    sync
    poweroff -f
fi
