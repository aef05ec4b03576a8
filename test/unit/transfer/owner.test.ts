/** The owner of a job when Redis does not answer: cut off from it, a node must not wait longer than its lease. */
import { expect } from 'chai';
import { LeaseOwner } from '../../../services/transfer/owner.js';
import { createLog } from '../../../shared/log.js';
import type { Checkpoint } from '../../../shared/queue/checkpoint.js';
import type { JobRecord, NodeJobs } from '../../../shared/queue/records.js';
import { ControlBlock } from '../../../workers/control.js';
import { failure } from '../../helpers/failure.js';

const LEASE_MS = 300;

/** Its connection stands, but nothing comes back. */
const CUT_OFF = new Proxy({} as NodeJobs, { get: () => () => new Promise(() => {}) });

describe('transfer: owner of a job', () => {
  let owner: LeaseOwner;
  let grantedMs: number;

  beforeEach(async () => {
    const record = { id: 'one', attempt: 1 } as JobRecord;
    owner = new LeaseOwner(record, CUT_OFF, new ControlBlock(), LEASE_MS, createLog('silent'));
    owner.granted(process.hrtime.bigint());
    grantedMs = performance.now();
  });

  const calls: Record<string, () => Promise<void>> = {
    'whether the job still is its own': async () => {
      for (;;) {
        await owner.confirm();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    'to record a checkpoint': () => owner.save({} as Checkpoint, true),
  };
  for (const [what, call] of Object.entries(calls)) {
    it(`stops asking ${what} when the lease has run out`, async () => {
      // Symptom: the target stayed locked for 5 s more, the time that a Redis command is given.
      expect((await failure(call)).code).to.equal('LEASE_LOST');
      expect(performance.now() - grantedMs).to.be.within(LEASE_MS * 0.8 - 1, LEASE_MS * 2);
    }).timeout(2000);
  }
});
