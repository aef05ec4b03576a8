#!/usr/bin/env bash
# Checks .dependency-cruiser.cjs: imports point one way. Type-only imports count like all others.
# dependency-cruiser reads TypeScript through a JavaScript API that TypeScript 7 no longer has, and what
# tsc compiles has lost the type-only imports. So: copy the sources, make every `import type` a plain
# import, compile that unchecked (verbatimModuleSyntax keeps all imports), and cruise the result.
# Not seen: a type written as import('./x.js').T.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/source"
ln -s "$root/node_modules" "$work/node_modules"
cp package.json "$work/"
cp package.json tsconfig.json "$work/source/"
ln -s "$root/node_modules" "$work/source/node_modules"
folders=()
for folder in services workers shared test bench scripts; do
  if [[ -z $(find "$folder" -name '*.ts' -print -quit 2>/dev/null) ]]; then continue; fi
  folders+=("$folder")
  find "$folder" -name '*.ts' -type f -exec cp --parents {} "$work/source/" \;
done
find "$work/source" -name '*.ts' -type f -exec sed -i -E -e 's/^import type /import /' -e 's/^export type ([{*])/export \1/' {} +

node_modules/.bin/tsc -p "$work/source" --outDir "$work" --noCheck --incremental false --tsBuildInfoFile null --sourceMap false
cp .dependency-cruiser.cjs "$work/"
rm -rf "$work/source"
cd "$work"
"$root/node_modules/.bin/depcruise" --config .dependency-cruiser.cjs "${folders[@]}"
