# Reads the subset of #cloud-config that the tiny guest understands:
#
#   hostname: NAME          at the margin, plain or quoted
#   runcmd:                 at the margin; below it, each on one line,
#     - COMMAND             a shell command, plain or quoted
#     - [WORD, "WORD"]      a program and its arguments
#
# Everything else is passed over.
#
#   awk -v want=hostname|runcmd -f userdata.awk user-data

function unquote(s,    c) {
    c = substr(s, 1, 1)
    if (length(s) > 1 && (c == "\"" || c == "'") && substr(s, length(s), 1) == c) {
        s = substr(s, 2, length(s) - 2)
        if (c == "'") {
            gsub(/''/, "'", s)
        } else {
            gsub(/\\"/, "\"", s)
            gsub(/\\\\/, "\\", s)
        }
    }
    return s
}

# A word that the shell takes literally.
function literal(s) {
    gsub(/'/, "'\\''", s)
    return "'" s "'"
}

# ["a", b] as a shell command. A comma inside quotes is not supported.
function words(s,    n, i, part, out) {
    s = substr(s, 2, length(s) - 2)
    n = split(s, part, ",")
    for (i = 1; i <= n; i++) {
        gsub(/^[ \t]+|[ \t]+$/, "", part[i])
        out = out (i > 1 ? " " : "") literal(unquote(part[i]))
    }
    return out
}

{ sub(/[ \t\r]+$/, "") }

/^hostname:/ && want == "hostname" {
    sub(/^hostname:[ \t]*/, "")
    print unquote($0)
    exit
}

/^[^ \t#-]/ { inside = /^runcmd:$/ }

inside && want == "runcmd" && /^[ \t]*- / {
    sub(/^[ \t]*-[ \t]+/, "")
    if ($0 ~ /^\[.*\]$/) print words($0)
    else print unquote($0)
}
