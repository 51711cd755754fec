#!/usr/bin/env bash
# Installs what the tests need beside Go, or says what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
# The tests use Debian's own interpreter, which sees Debian's packages.
/usr/bin/python3 -c 'import redis' 2>/dev/null || missing+=(python3-redis)
/usr/bin/python3 -c 'import msgpack' 2>/dev/null || missing+=(python3-msgpack)
# A clock that tests can put forward and back.
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing+=(faketime)
[ ${#missing[@]} -eq 0 ] && exec tools/valkey.sh

fail() {
  echo "deps: the tests need ${missing[*]}: $1. Install by hand: apt-get install ${missing[*]}" >&2
  exit 1
}
command -v apt-get >/dev/null || fail "this machine has no apt-get to install them with"
root=()
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2>/dev/null || fail "installing them takes root, and sudo without a password is not to be had"
  root=(sudo -n)
fi

echo "deps: installing ${missing[*]}"
install() {
  # No service is wanted: every test starts a server of its own.
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends "${missing[@]}"
}
if ! install; then # the package lists may be missing or old
  "${root[@]}" apt-get update -q || fail "apt-get update failed"
  install || fail "apt-get install failed"
fi
exec tools/valkey.sh
