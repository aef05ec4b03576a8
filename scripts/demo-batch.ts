/**
 * `npm run demo:batch`: imports the disks of ten VMs at once, on two nodes, kills one of them in the middle, and proves
 * byte for byte what came of it. Leaves nothing behind, also when it fails or is interrupted.
 * FERRY_DEMO_DIR: where its files go (about 5 GiB for two minutes); default: the directory for temporary files.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ApiClient } from '../services/cli/api-client.js';
import { ApiTransport } from '../services/cli/api-transport.js';
import { BarsDisplay } from '../services/cli/batch/display-bars.js';
import { BatchLineDisplay } from '../services/cli/batch/display-lines.js';
import { failureLines } from '../services/cli/batch/report.js';
import { follow } from '../services/cli/follow.js';
import { plainTable, trimRight } from '../services/cli/report.js';
import { processScreen } from '../services/cli/screen.js';
import { count } from '../services/cli/words.js';
import type { BatchView } from '../shared/schemas/batch.js';
import type { JobView } from '../shared/schemas/job.js';
import { storageName } from '../shared/storage-name.js';
import { formatBytes, GiB, MiB } from '../shared/units.js';
import { run } from './demo/children.js';
import { type Cluster, startCluster } from './demo/cluster.js';
import { compare } from './demo/compare.js';
import { FERRY } from './demo/ferry.js';
import { type FleetDisk, makeFleet } from './demo/fleet.js';
import { allocatedBytes } from './demo/image.js';
import { makeDirectory, perform, type Stage, say, tell } from './demo/stage.js';
import { Takeover } from './demo/takeover.js';

const NEEDED = 5 * GiB;
/** Short, so that a takeover is seen soon. */
const LEASE_MS = 3000;
/** Slow enough for the eye, and for a kill in the middle. */
const BANDWIDTH = 24 * MiB;
const AT_ONCE = 10;
const NODES = ['node-a', 'node-b'];

await perform(demo);

async function demo(stage: Stage): Promise<void> {
  const base = await makeDirectory(stage, NEEDED);

  say('Making the disks of ten VMs: GPT, ext4, files of this machine, no two the same');
  const disks = await makeFleet(base, stage);
  await describeFleet(disks);

  say('Starting redis-server, ferry api, and two nodes: node-a and node-b');
  const cluster = await startCluster(
    {
      directory: join(base, 'q'),
      roots: [base, ...disks.map(({ target }) => storageName(target))],
      nodes: NODES,
      leaseMs: LEASE_MS,
      // Each could do it all alone, which one will have to.
      concurrency: AT_ONCE,
    },
    stage,
  );
  tell(cluster.url);
  tell(`--lease-ms ${LEASE_MS} instead of 10000: what a dead node ran is taken over after ${LEASE_MS / 1000} s`);
  tell(`${formatBytes(BANDWIDTH)}/s for each disk at first, so that there is something to see`);

  const plan = join(base, 'plan.yaml');
  await writeFile(plan, stringify(planOf(disks)));
  say('ferry batch submit plan.yaml, and what ferry batch status --follow shows');
  const submitting = [FERRY, 'batch', 'submit', plan, '--json', '--server', cluster.url];
  const { id } = JSON.parse((await run(process.execPath, submitting, stage)).stdout) as { id: string };
  const client = new ApiClient(new ApiTransport(cluster.url, null));
  const batch = await watch(client, id, cluster, stage);
  for (const line of failureLines(batch)) console.error(line);
  if (batch.state !== 'completed') throw new Error(`the batch ended as ${batch.state}`);

  say('What was done by whom, and what did not have to be done again');
  const { jobs } = await client.list({ batch: id, limit: 1000 });
  const done = await Promise.all(jobs.map((job) => client.job(job.id)));
  console.log(jobsTable(disks, done));
  if (done.every(({ result }) => result?.resumedBytes === 0)) throw new Error('nothing was resumed from a checkpoint');

  say('Comparing every disk with its image byte for byte, with cmp');
  await compareAll(disks, stage);
  tell(`verified: ${disks.length} disks, ${formatBytes(disks.reduce((sum, { size }) => sum + size, 0))}`);
}

/** Two at a time. @throws Error as the first that failed, when none runs any more */
async function compareAll(disks: readonly FleetDisk[], { signal }: Stage): Promise<void> {
  const left = disks.values();
  const compareNext = async () => {
    for (const { image, target, size } of left) await compare(image, storageName(target), size, signal);
  };
  for (const outcome of await Promise.allSettled([compareNext(), compareNext()])) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
}

async function describeFleet(disks: readonly FleetDisk[]): Promise<void> {
  const size = disks.reduce((sum, disk) => sum + disk.size, 0);
  const data = await Promise.all(disks.map(({ image }) => allocatedBytes(image)));
  const sum = formatBytes(data.reduce((all, bytes) => all + bytes, 0));
  tell(`${disks.length} disks of ${formatBytes(size)} virtual size, ${sum} of data`);
  tell(`targets: ${disks[0]?.target.description}, and its like`);
}

/** As a person would write it, but for the paths. */
function planOf(disks: readonly FleetDisk[]): object {
  const vms = [...new Set(disks.map(({ vm }) => vm))];
  return {
    name: 'demo',
    maxConcurrentDisks: AT_ONCE,
    vms: vms.map((name) => ({
      name,
      disks: disks
        .filter(({ vm }) => vm === name)
        .map(({ image, target, allocation }) => ({
          source: image,
          target: storageName(target),
          options: { allocation, verify: true, bandwidthBytesPerSecond: BANDWIDTH },
        })),
    })),
  };
}

/** Shows the batch as `ferry batch status --follow` does, and has a node killed meanwhile. @returns its end */
async function watch(client: ApiClient, id: string, { nodes }: Cluster, { signal }: Stage): Promise<BatchView> {
  const display = processScreen.terminal ? new BarsDisplay(processScreen) : new BatchLineDisplay(processScreen);
  // Bars are drawn over what they drew before; lines in between must not be.
  const aside = (tellIt: () => void) => {
    display.close();
    tellIt();
  };
  const takeover = new Takeover(client, id, nodes, {
    killed: (node, pid, jobs) =>
      aside(() => {
        say(`kill -9 ${pid}: ${node}, in the middle of ${count(jobs.length, 'disk')}`);
        for (const job of jobs) tell(`${vmOf(job)} at ${job.progress?.percent ?? 0} %`);
        console.log();
      }),
    takenOver: (jobs, afterMs) =>
      aside(() => {
        say(`${(afterMs / 1000).toFixed(1)} s after the kill ${count(jobs.length, 'disk')} of it went on elsewhere`);
        for (const job of jobs) tell(`${vmOf(job)} on ${job.node}, attempt ${job.attempt}`);
        console.log();
      }),
    allTakenOver: () =>
      aside(() => {
        tell('that was all of them: the bandwidth limits are lifted');
        console.log();
      }),
  });
  let fail: (reason: unknown) => void = () => {};
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  const enough = new AbortController();
  const onAbort = () => fail(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const watcher = {
      changed: (batch: BatchView) => {
        display.changed(batch);
        takeover.look().catch(fail);
      },
      lost: fail,
      regained: () => {},
    };
    const ask = (etag: string | null, waitSeconds: number) => client.batches.batchAfter(id, etag, waitSeconds);
    const batch = await Promise.race([follow(ask, watcher, enough.signal), failed]);
    display.ended(batch);
    takeover.check();
    return batch;
  } finally {
    signal.removeEventListener('abort', onAbort);
    enough.abort();
    display.close();
  }
}

function vmOf({ batch, target }: JobView): string {
  return `${batch?.vm} ${target && storageName(target)}`;
}

function jobsTable(disks: readonly FleetDisk[], jobs: readonly JobView[]): string {
  const table = plainTable(['VM', 'TARGET', 'NODE', 'ATTEMPTS', 'COPIED', 'RESUMED', 'VERIFIED']);
  for (const { vm, target } of disks) {
    const job = jobs.find((candidate) => candidate.target && storageName(candidate.target) === storageName(target));
    const { result } = job ?? {};
    if (job === undefined || result === undefined) throw new Error(`${vm} ${storageName(target)} has no result`);
    const resumed = result.resumedBytes === 0 ? '' : formatBytes(result.resumedBytes);
    const checksum = result.checksum?.checksum.slice(0, 12) ?? '';
    table.push([vm, storageName(target), job.node, job.attempt, formatBytes(result.copiedBytes), resumed, checksum]);
  }
  return trimRight(table.toString());
}
