#!/usr/bin/env bash
# Installs the programs that the benchmarks measure beside imageferry, where they are missing: Debian packages, as root
# or through sudo. Without them a benchmark leaves that column out.
set -uo pipefail

peers=(
  /usr/bin/qemu-img:qemu-utils # bench: qemu-img convert
  /usr/bin/nbdcopy:libnbd-bin  # bench, bench:http
  /usr/bin/gcc:gcc             # bench: compiles the floor
  /usr/sbin/mkfs.xfs:xfsprogs  # bench: targets on xfs
  /usr/sbin/nginx:nginx-light  # bench:http: WebDAV
  /usr/bin/nbdkit:nbdkit       # bench:http: NBD into a file
  /usr/bin/openssl:openssl     # bench:http: a certificate
)

missing=()
for entry in "${peers[@]}"; do
  [[ -x ${entry%%:*} ]] || missing+=("${entry#*:}")
done
((${#missing[@]} > 0)) || exit 0
as_root=()
if ((EUID != 0)); then as_root=(sudo -n); fi
export DEBIAN_FRONTEND=noninteractive
# A server of its own that Debian starts for us would only be in the way.
"${as_root[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
  echo "setup-bench: could not install ${missing[*]}; they are left out" >&2
