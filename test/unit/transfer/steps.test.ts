/** Steps in flight: bounded, in order, stopped by the first error, and never one left behind. */
import { expect } from 'chai';
import { Gate } from '../../../services/transfer/gate.js';
import { runSteps } from '../../../services/transfer/steps.js';
import { FerryError } from '../../../shared/errors.js';
import { ControlBlock } from '../../../workers/control.js';
import { failure } from '../../helpers/failure.js';

describe('transfer: runSteps', () => {
  it('runs every step once, in order, with its number', async () => {
    const seen: string[] = [];
    await runSteps('abcdefg', 3, new ControlBlock(), async (step, index) => {
      seen.push(`${step}${index}`);
    });
    expect(seen).to.deep.equal(['a0', 'b1', 'c2', 'd3', 'e4', 'f5', 'g6']);
  });

  it('has as many in flight as allowed, never more', async () => {
    const steps = new Held();
    const running = runSteps([0, 1, 2, 3, 4], 2, new ControlBlock(), steps.run);
    await turn();
    expect(steps.started).to.deep.equal([0, 1]);
    steps.end(1);
    await turn();
    expect(steps.started).to.deep.equal([0, 1, 2]);
    for (const step of [0, 2, 3, 4]) {
      steps.end(step);
      await turn();
    }
    await running;
    expect(steps.most).to.equal(2);
  });

  it('asks anew how many may be in flight whenever one ends', async () => {
    const steps = new Held();
    let limit = 1;
    const running = runSteps([0, 1, 2, 3, 4], () => limit, new ControlBlock(), steps.run);
    await turn();
    expect(steps.started).to.deep.equal([0]);
    limit = 3;
    steps.end(0);
    await turn();
    expect(steps.started).to.deep.equal([0, 1, 2, 3]);
    limit = 1;
    steps.end(1);
    steps.end(2);
    await turn();
    expect(steps.started).to.deep.equal([0, 1, 2, 3]);
    steps.end(3);
    await turn();
    steps.end(4);
    await running;
  });

  it('stops the others on the first error, waits for all that run, starts no more', async () => {
    const control = new ControlBlock();
    const steps = new Held();
    let ended = false;
    const running = failure(() => runSteps([0, 1, 2, 3, 4], 3, control, steps.run)).finally(() => {
      ended = true;
    });
    await turn();
    steps.end(1, new FerryError('STORAGE_IO', 'the reason'));
    await turn();
    expect(control.stopped).to.equal(true);
    expect(ended).to.equal(false);
    steps.end(0, new FerryError('CANCELED', 'stopped by it'));
    await turn();
    expect(ended).to.equal(false);
    steps.end(2);
    expect((await running).code).to.equal('STORAGE_IO');
    expect(steps.started).to.deep.equal([0, 1, 2]);
  });

  it('does nothing for no steps', async () => {
    await runSteps([], 4, new ControlBlock(), () => Promise.reject(new Error('there is none')));
  });
});

describe('transfer: gate', () => {
  it('lets a fixed number through, the others in order, also after failures', async () => {
    const gate = new Gate(2);
    const steps = new Held();
    const passing = [0, 1, 2, 3].map((step) => gate.pass(() => steps.run(step)).catch(() => {}));
    await turn();
    expect(steps.started).to.deep.equal([0, 1]);
    steps.end(0, new Error('one fails'));
    await turn();
    expect(steps.started).to.deep.equal([0, 1, 2]);
    for (const step of [1, 2, 3]) {
      steps.end(step);
      await turn();
    }
    await Promise.all(passing);
    expect(steps.most).to.equal(2);
  });
});

/** Steps that end when they are told to. */
class Held {
  readonly started: number[] = [];
  most = 0;
  readonly #running = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

  readonly run = async (step: number): Promise<void> => {
    this.started.push(step);
    await new Promise<void>((resolve, reject) => {
      this.#running.set(step, { resolve, reject });
      this.most = Math.max(this.most, this.#running.size);
    });
  };

  end(step: number, error?: Error): void {
    const running = this.#running.get(step);
    if (running === undefined) throw new Error(`step ${step} does not run`);
    this.#running.delete(step);
    if (error === undefined) running.resolve();
    else running.reject(error);
  }
}

/** Lets everything run that can run now. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
