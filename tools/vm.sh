#!/usr/bin/env bash
# Runs the tests of the kernel's memory limits in a virtual machine with a cgroup v2
# hierarchy, as few machines let a test have theirs: as root in the root group, and as a user
# in a group that was handed over as systemd does it. The machine has no disk: a kernel of
# Debian's, and the tests with a busybox in its memory. It is emulated, as the
# hardware's help is not to be had everywhere, and takes a minute or two.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "vm: $1" >&2
  exit 1
}
[ "$(go env GOARCH)" = amd64 ] && [ "$(go env GOOS)" = linux ] || fail "these tests are for linux/amd64"

needed="qemu-system-x86_64, cpio, and a kernel and a busybox in"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cenote-tests/vm
missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
command -v cpio >/dev/null || missing+=(cpio)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "there is no apt-get to install ${missing[*]} with; needed are $needed $cache"
  root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || fail "installing takes root, and sudo without a password is not to be had: apt-get install ${missing[*]}"
    root=(sudo -n)
  fi
  echo "vm: installing ${missing[*]}"
  install() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null; }
  install || { "${root[@]}" apt-get update -q && install; } || fail "apt-get install ${missing[*]} failed"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
if ! [ -e "$cache/vmlinuz" ] || ! [ -x "$cache/busybox" ]; then
  # Unpacked into the user's cache rather than installed: this machine boots nothing of it.
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "there is no apt-get to fetch them with: put a vmlinuz and a static busybox into $cache"
  echo "vm: fetching a kernel and a busybox"
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2; exit }')
  [ -n "$kernel" ] || fail "apt knows of no linux-image-cloud-amd64: put a vmlinuz of your own into $cache"
  (cd "$work" && apt-get download -q -o APT::Sandbox::User=root "$kernel" busybox-static) || fail "apt-get download $kernel busybox-static failed"
  for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/packages"
  done
  mkdir -p "$cache"
  cp "$work"/packages/boot/vmlinuz-* "$cache/.vmlinuz" && mv "$cache/.vmlinuz" "$cache/vmlinuz"
  cp "$work/packages/bin/busybox" "$cache/.busybox" && mv "$cache/.busybox" "$cache/busybox"
fi

mkdir -p "$work/root/bin" "$work/root/etc"
cp "$cache/busybox" "$work/root/bin/"
for room in internal/child pool; do
  CGO_ENABLED=0 go test -c -tags cgroup -o "$work/root/tests/$(basename "$room").test" "./$room"
done
printf 'root:x:0:0::/:/bin/sh\nworker:x:1000:1000::/tmp:/bin/sh\n' >"$work/root/etc/passwd"
cat >"$work/root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin TMPDIR=/tmp
mkdir -p /proc /sys /dev /tmp && chmod 1777 /tmp
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs dev /dev && mkdir /dev/shm && mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "vm: Linux $(uname -r)"
verdict="passed"
tests() { # as whom, where, and which
  for t in child pool; do
    echo "vm: $t, as $1${2:+, in $2}"
    su "$1" -c "cd /tests && CENOTE_TEST_CGROUP=$2 ./$t.test -test.v -test.timeout 5m -test.run '$3'" || verdict="failed"
  done
}
tests root "" "^TestCgroup"

work=/sys/fs/cgroup/work
mkdir -p $work/main
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
for f in . cgroup.procs cgroup.subtree_control cgroup.threads main main/cgroup.procs main/cgroup.subtree_control main/cgroup.threads; do
  chown worker $work/$f
done
echo $$ >$work/main/cgroup.procs
tests worker $work "^Test(User)?Cgroup"
left=$(find /sys/fs/cgroup -name 'cenote-*')
[ -z "$left" ] || { verdict="failed"; echo "vm: left are $left"; }
echo "vm: $verdict"
poweroff -f
EOF
chmod 755 "$work/root/init"
chmod -R a+rX "$work/root"
(cd "$work/root" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$work/initrd"

timeout 15m qemu-system-x86_64 -nodefaults -no-reboot -display none -serial stdio -accel tcg,thread=multi -cpu max -smp 2 -m 1G \
  -kernel "$cache/vmlinuz" -initrd "$work/initrd" -append "console=ttyS0 panic=-1 quiet loglevel=0" </dev/null |
  tr -d '\r' | tee "$work/said" | grep -vE '^=== ' || true
grep -q '^vm: passed$' "$work/said" || fail "the tests failed, or did not come to their end"
