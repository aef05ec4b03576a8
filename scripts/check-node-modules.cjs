/**
 * Exit status 0: node_modules holds what package-lock.json asks for. Else 1, and `npm ci` is due.
 * Compares with the lock file that npm itself leaves in node_modules, so that it does not matter who installed.
 * Optional packages may be absent (they are for other machines), but not in another version.
 */
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const packagesOf = (path) => JSON.parse(readFileSync(join(root, path), 'utf8')).packages;

try {
  const wanted = packagesOf('package-lock.json');
  const installed = packagesOf('node_modules/.package-lock.json');
  const differs = Object.entries(wanted).some(([path, { version, optional, devOptional }]) => {
    if (path === '') return false;
    const there = installed[path];
    return there === undefined ? !(optional || devOptional) : there.version !== version;
  });
  process.exitCode = differs ? 1 : 0;
} catch {
  process.exitCode = 1;
}
