#!/usr/bin/env bash
# Builds the C++ addon and puts it beside the compiled workers/native/index.js, which loads it from there.
# Does nothing when sources, Node.js and node-addon-api are those of the last build.
# Needs g++, make and python3, and node_modules; no network where Node.js came with its headers.
set -euo pipefail
cd "$(dirname "$0")/.."

source_dir=workers/native
built=$source_dir/build/Release/ferry_native.node
target=dist/workers/native/ferry_native.node
stamp=$source_dir/build/ferry.stamp

mkdir -p "$source_dir/build" "$(dirname "$target")"
# Two builds at once would write the same object files.
exec 9>"$source_dir/build/ferry.lock"
flock 9

key=$(
  {
    node -p '[process.version, process.arch, process.execPath, require("node-addon-api/package.json").version].join()'
    cat scripts/build-addon.sh "$source_dir/binding.gyp" "$source_dir"/src/*
  } | sha256sum
)

if [[ ! -f $built || ! -f $stamp || $(<"$stamp") != "$key" ]]; then
  rm -f "$stamp"
  options=()
  # Without --nodedir node-gyp downloads the headers, which a machine without network cannot.
  prefix=$(node -p 'require("node:path").resolve(require("node:fs").realpathSync(process.execPath), "../..")')
  if [[ -f $prefix/include/node/node_api.h ]]; then options+=(--nodedir "$prefix"); fi
  log=$source_dir/build/ferry.log
  if ! node_modules/.bin/node-gyp configure build --directory "$source_dir" --jobs max "${options[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
  printf '%s\n' "$key" >"$stamp"
fi

if ! cmp -s "$built" "$target"; then
  # Renamed into place: writing over a library that a running process has mapped would crash it.
  cp "$built" "$target.$$"
  mv -f "$target.$$" "$target"
fi
