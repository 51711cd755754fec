#!/usr/bin/env bash
# Runs every fuzz target for a while (30s, or $1), two at a time with one worker each. All
# targets are found by themselves. It fails if one finds something, and says how to
# see it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:-30s}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export time logs

# one runs the target $2 of the package $1. Making inputs that reach new code smaller is
# bounded: by itself it may take a minute each, and with it all the time there is. go test
# sometimes fails for no other reason than that the time was up (go.dev/issue/75804).
one() {
  local log=$logs/$2
  if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x -parallel 1 "$1" >"$log" 2>&1 ||
    { grep -q '^    context deadline exceeded$' "$log" && ! grep -qE 'Failing input|failure while|panic|_test\.go:' "$log"; }; then
    echo "fuzz: $2 in $1: nothing found; $(grep "^fuzz: elapsed: .*execs: " "$log" | tail -1 | sed "s/^fuzz: elapsed: //")"
    return
  fi
  {
    echo "fuzz: $2 in $1 FAILS:"
    grep -v '^fuzz: elapsed: ' "$log"
    echo "fuzz: again: go test -run '^$2\$' $1  (what it found is in $1/testdata/fuzz/$2; keep it there when the code is mended)"
  } >&2
  return 1
}
export -f one

targets=$(grep -rnoE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]*\(f \*testing\.F\)' . |
  sed -E 's#^(.*)/[^/]*:[0-9]+:func (Fuzz[A-Za-z0-9_]*).*#\1 \2#' | sort)
[ -n "$targets" ] || { echo "fuzz: no target was found" >&2; exit 1; }
echo "fuzz: $(wc -l <<<"$targets") targets, $time each"
# Each package is built once before: two at a time would build it twice.
for package in $(cut -d' ' -f1 <<<"$targets" | uniq); do
  go test -run '^$' -fuzz '^$' -c -o /dev/null "$package"
done
xargs -P 2 -L 1 bash -c 'one "$0" "$1"' <<<"$targets" || { echo "fuzz: something was found, see above" >&2; exit 1; }
