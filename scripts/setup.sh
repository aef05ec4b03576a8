#!/usr/bin/env bash
# Makes a fresh clone ready: Debian packages, npm packages, addon and TypeScript. `npm test` and `npm run demo`
# run it first. Safe to repeat, and quick when there is nothing to do.
# Expects Node.js 20, npm and git. Installs packages as root or through sudo; where it cannot, it names them and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

# What we call or compile with, the Debian package that brings it, and why. The command is what is looked for, so that a
# redis-server or a compiler from elsewhere does as well.
needed=(
  redis-server:redis-server # the embedded queue server
  /usr/include/libnbd.h:libnbd-dev # NBD: compiles the addon
  nbdkit:nbdkit             # tests: an NBD server that fails on purpose
  g++:g++                   # compiles the addon
  make:make                 # node-gyp drives it
  python3:python3           # node-gyp is driven by it
  qemu-img:qemu-utils       # demo: the copy that we compare ourselves with
  losetup:mount             # demo and tests: loop devices; mount and umount
  blkdiscard:util-linux     # tests: blockdev, blkdiscard
  sfdisk:fdisk              # demo: partitions the image
  mkfs.ext4:e2fsprogs       # demo: the file system in the image; tests: ext2 and ext4
  mkfs.xfs:xfsprogs         # tests: storage matrix
  mkfs.btrfs:btrfs-progs    # tests: storage matrix
  ip:iproute2               # tests: network namespaces, nodes that are cut off
  strace:strace             # tests: system calls that fail on purpose
  docker-compose:docker-compose # tests: reads docker-compose.yml; needs no daemon
)
# An ordinary user's PATH lacks these, where mkfs and losetup are.
PATH=$PATH:/usr/sbin:/sbin

main() {
  check_node
  local missing=() entry
  for entry in "${needed[@]}"; do
    # A header has a path; all else is a command.
    [[ $entry == /* && -e ${entry%%:*} ]] || command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
  done
  if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
  if ! node scripts/check-node-modules.cjs; then npm ci --no-fund --no-audit; fi
  npm run --silent build
}

check_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo 'setup: Node.js 20.19 or newer with npm is needed; install it first' >&2
    exit 1
  fi
  if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
    echo "setup: Node.js 20.19 or newer is needed; this is $(node --version)" >&2
    exit 1
  fi
}

as_root=() # what makes a command run as root
install_packages() {
  if ! command -v apt-get >/dev/null; then give_up 'there is no apt-get here' "$@"; fi
  if ((EUID != 0)); then
    # Without a terminal sudo could not ask for a password, only hang or fail.
    if ! command -v sudo >/dev/null; then give_up 'you are not root and there is no sudo' "$@"; fi
    if [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; then give_up 'sudo needs a password and there is no terminal' "$@"; fi
    as_root=(sudo)
  fi
  echo "setup: installing $*" >&2
  "${as_root[@]}" apt-get update --quiet=2 || give_up 'apt-get update failed' "$@"
  forbid_service_start
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 \
    --option Dpkg::Use-Pty=0 --no-install-recommends "$@" ||
    give_up 'apt-get install failed' "$@"
  allow_service_start
  # We start our own queue server; the distribution's must not come up with the next boot just because of us.
  if [[ " $* " == *' redis-server '* && -d /run/systemd/system ]]; then
    "${as_root[@]}" systemctl disable --quiet redis-server.service || true
  fi
}

# policy-rc.d is how Debian is told not to start what it installs. One that is there already is left alone.
policy=/usr/sbin/policy-rc.d
forbid_service_start() {
  if [[ -e $policy ]]; then return; fi
  trap allow_service_start EXIT
  printf '#!/bin/sh\n# imageferry setup, for one installation\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod 755 $policy
}
allow_service_start() {
  if grep -qs '^# imageferry setup' $policy; then "${as_root[@]}" rm -f $policy; fi
  trap - EXIT
}

give_up() {
  local reason=$1
  shift
  {
    echo "setup: packages are missing and cannot be installed: $reason."
    echo 'setup: as root, run:'
    echo "  apt-get update && apt-get install --yes --no-install-recommends $*"
  } >&2
  exit 1
}

main
