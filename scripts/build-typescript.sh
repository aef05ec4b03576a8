#!/usr/bin/env bash
# Compiles TypeScript into dist/, which mirrors the tree. What was compiled of a source that is gone goes too:
# a deleted test would otherwise still run.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -d dist ]]; then
  find dist \( -name '*.js' -o -name '*.cjs' \) -type f | while IFS= read -r compiled; do
    source=${compiled#dist/}
    [[ -f ${source%.js}.ts || -f ${source%.cjs}.cts ]] || rm -f "$compiled" "$compiled.map"
  done
fi
node_modules/.bin/tsc -p .
# So that dist/services/cli/main.js runs as `ferry` without npm in between.
if [[ -f dist/services/cli/main.js ]]; then chmod +x dist/services/cli/main.js; fi
