# shellcheck shell=bash disable=SC2034
# What the scripts share; sourced, not run. Sets ROOT (the checkout), CACHE and ASTERISK_ROOT.
set -euo pipefail
export LC_ALL=C.UTF-8
# A cd that prints its target (CDPATH) would spoil every $(cd … && pwd).
unset CDPATH
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${SCREENER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/screener}
mkdir -p "$CACHE/log"
CACHE=$(cd "$CACHE" && pwd)
ASTERISK_ROOT=${SCREENER_ASTERISK_ROOT:-$CACHE/asterisk-root}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# usage_on_request "$@": with -h or --help, the comment at the beginning of the script that runs, and no more.
usage_on_request() {
    local argument
    for argument in "$@"; do
        if [[ $argument == -h || $argument == --help ]]; then
            sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p}' "$0"
            exit
        fi
    done
}

# step NAME COMMAND…: one line on the terminal; the output goes to a log, shown only when COMMAND fails.
step() {
    local name=$1 started=$SECONDS log status=0
    log=$(mktemp "$CACHE/log/${1//[^a-zA-Z0-9]/-}.XXXXXX")
    shift
    printf '%-44s ' "$name …"
    # As a process of its own, waited for: so `die` ends only the step, and a function stops at its
    # first failing command. For the same reason step must not stand in `if`, `&&` or `||`.
    (set -e; "$@") >"$log" 2>&1 </dev/null &
    wait "$!" || status=$?
    if ((status == 0)); then
        printf 'ok  %3d s\n' "$((SECONDS - started))"
    else
        printf 'FAILED  %3d s\n' "$((SECONDS - started))"
        sed 's/^/    /' "$log"
    fi
    rm -f "$log"
    return "$status"
}

# Prints the path of an installed Asterisk that is new enough; fails if there is none.
installed_asterisk() {
    local binary version
    binary=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v asterisk) || return 1
    version=$("$binary" -V 2>/dev/null | sed -n 's/^Asterisk [^0-9]*\([0-9]*\).*/\1/p')
    ((${version:-0} >= 16)) && printf '%s\n' "$binary"
}
