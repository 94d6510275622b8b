# Sourced by the guest's scripts. The report's format is the contract with the
# tests; images/console.rs parses it and documents each line.
export PATH=/bin:/sbin

# report WORD...: one line on the serial console, and in the report over HTTP.
# One echo is one write, so lines of several processes do not mix.
report() {
    echo "kilonova-tiny: $*" >/dev/console
    echo "kilonova-tiny: $*" >>/run/report
}
