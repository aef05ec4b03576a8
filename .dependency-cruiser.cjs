/**
 * Which folder may import which: services → workers → shared (docs/architecture.md).
 * Run through scripts/lint-imports.sh, which explains on what.
 */
const programs = '^(services|workers|shared)/';

module.exports = {
  forbidden: [
    {
      name: 'shared-imports-shared',
      comment: 'shared/ is what all programs agree on; it knows none of them',
      severity: 'error',
      from: { path: '^shared/' },
      to: { path: '^(services|workers|test|bench|scripts)/' },
    },
    {
      name: 'workers-import-shared',
      comment: 'workers/ block on disks; they know nothing of the services that call them',
      severity: 'error',
      from: { path: '^workers/' },
      to: { path: '^(services|test|bench|scripts)/' },
    },
    {
      name: 'services-apart',
      comment: 'a service does not import another; only services/cli composes them',
      severity: 'error',
      from: { path: '^services/([^/]+)/', pathNot: '^services/cli/' },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'nothing-imports-test',
      comment: 'test helpers break things on purpose; programs, demo and benchmarks do without',
      severity: 'error',
      from: { pathNot: '^test/' },
      to: { path: '^test/' },
    },
    {
      name: 'no-cycles',
      comment: 'files that need each other are one idea in two places',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'declared-packages',
      comment: 'what programs import must be a dependency in package.json, not a dev dependency and not luck',
      severity: 'error',
      from: { path: programs },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'resolvable',
      comment: 'an import that leads nowhere; the other rules cannot judge it',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // What TypeScript makes of `import x = require('x')`.
    exoticRequireStrings: ['__require'],
    preserveSymlinks: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
