# Reads one value out of NoCloud meta-data, in block YAML or JSON.
#
#   awk -v want=local-hostname -f metadata.awk meta-data
#
# want=public-keys prints one key on each line, whatever the shape of the
# value: a string, a list, or a map from names to keys.

{ text = text $0 "\n" }

# The scalar at the start of s, without its quotes. `used` becomes its length
# in s.
function scalar(s,    c, end, out) {
    c = substr(s, 1, 1)
    if (c == "\"" || c == "'") {
        for (end = 2; end <= length(s) && substr(s, end, 1) != c; end++) {
            if (c == "\"" && substr(s, end, 1) == "\\") end++
            out = out substr(s, end, 1)
        }
        used = end
        return out
    }
    match(s, json ? "[,}\\]\n]" : "([ \t]+#[^\n]*)?\n")
    used = RSTART
    out = substr(s, 1, RSTART - 1)
    sub(/[ \t\r]+$/, "", out)
    return out
}

# What follows `key:`, or nothing. In block YAML only a key at the margin is
# the document's own.
function after(key,    s) {
    s = json ? text : "\n" text
    if (!match(s, json ? "[{,][ \t\r\n]*\"" key "\"[ \t\r\n]*:[ \t\r\n]*" \
                       : "\n[\"']?" key "[\"']?[ \t]*:[ \t]*")) return ""
    return substr(s, RSTART + RLENGTH)
}

# The JSON value at the start of s: up to where its quote or bracket closes.
function whole(s,    i, c, quoted, depth) {
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        if (quoted && c == "\\") i++
        else if (c == "\"") quoted = !quoted
        else if (!quoted && index("[{", c)) depth++
        else if (!quoted && index("]}", c)) depth--
        if (!quoted && depth <= 0) break
    }
    return substr(s, 1, i)
}

# A key starts with its type; a quote before it says where it ends.
function keys(s,    quote) {
    if (json) s = whole(s) "\n"
    else if (match(s, "\n[^ \t\n-]")) s = substr(s, 1, RSTART) # the next key of the document
    while (match(s, /(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+[ \t]/)) {
        quote = RSTART > 1 ? substr(s, RSTART - 1, 1) : ""
        if (quote != "\"" && quote != "'") quote = ""
        s = quote substr(s, RSTART)
        print scalar(s)
        s = substr(s, used + 1)
    }
}

END {
    json = text ~ /^[ \t\r\n]*\{/
    if (want == "public-keys") {
        keys(after(want))
    } else {
        value = after(want)
        if (value != "") print scalar(value)
    }
}
