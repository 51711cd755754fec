#!/usr/bin/env bash
# Fetches a valkey-server for the tests of what redis-server 7.0 does not have, unless the
# machine has one. It is unpacked into the user's cache rather than installed: a second
# server of that kind is nothing that a machine should get for the sake of tests. Debian 12
# has it in its backports, of which only this script's own apt knows.
set -euo pipefail

command -v valkey-server >/dev/null && exit 0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cenote-tests/valkey
[ -x "$cache/usr/bin/valkey-server" ] && exit 0

fail() {
  echo "deps: the tests need valkey-server 7.2 or newer: $1. Install it by hand, or put its program at $cache/usr/bin/valkey-server" >&2
  exit 1
}
command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "this machine has no apt-get to fetch it with"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
apt=(apt-get -q)
if ! apt-cache show valkey-server >/dev/null 2>&1; then
  # shellcheck source=/dev/null
  [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ] || fail "apt knows of none"
  # They are where the rest of Debian comes from.
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' | sed -n 's/^bookworm //p' | head -1)
  [ -n "$mirror" ] || fail "apt has no source of Debian bookworm"
  mkdir -p "$work/lists/partial" "$work/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" >"$work/list"
  apt+=(-o "Dir::Etc::sourcelist=$work/list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work")
  "${apt[@]}" update || fail "the backports cannot be read"
fi
echo "deps: fetching valkey-server"
(cd "$work" && "${apt[@]}" download valkey-server valkey-tools) || fail "it cannot be fetched"
for package in "$work"/*.deb; do
  dpkg -x "$package" "$work/root"
done
"$work/root/usr/bin/valkey-server" --version || fail "what apt has does not run here"
mkdir -p "$cache/usr/bin"
cp "$work/root/usr/bin/valkey-server" "$cache/usr/bin/.new" # follows the link, if it is one
mv "$cache/usr/bin/.new" "$cache/usr/bin/valkey-server"
