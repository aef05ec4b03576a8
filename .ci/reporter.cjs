/**
 * The usual report for people, and the counts in the file FERRY_CI_COUNTS for .ci/run.
 * The file appears when the run has ended; a run that dies leaves none.
 */
const { writeFileSync } = require('node:fs');
const Mocha = require('mocha');

module.exports = class CiReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = runner.stats;
      writeFileSync(process.env.FERRY_CI_COUNTS, `${passes} ${failures} ${pending}\n`);
    });
  }
};
