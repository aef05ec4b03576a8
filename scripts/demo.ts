/**
 * `npm run demo`: imports a real disk image with imageferry, proves it byte for byte, and shows how long
 * dd and qemu-img take for the same copy. Leaves nothing behind, also when it fails or is interrupted.
 * FERRY_DEMO_DIR: where its files go (about 8 GiB for a minute); default: the directory for temporary files.
 */
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatBytes, GiB } from '../shared/units.js';
import { run } from './demo/children.js';
import { Cleanup } from './demo/cleanup.js';
import { comparisonTable, contenders, type Timing, time } from './demo/comparison.js';
import { IMAGE_SIZE, makeImage } from './demo/image.js';
import { FERRY, startService, timeJob } from './demo/service.js';
import { makeTarget } from './demo/target.js';

const NEEDED = 8 * GiB;

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => interrupted.abort(new Error(`interrupted (${name})`)));
}

const cleanup = new Cleanup();
try {
  await demo(interrupted.signal);
} catch (thrown) {
  const cause = interrupted.signal.aborted ? interrupted.signal.reason : thrown;
  console.error(`\ndemo: ${(cause as Error).message}`);
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
} finally {
  for (const left of await cleanup.run()) {
    console.error(`demo: could not clean up ${left}`);
    process.exitCode ||= 1;
  }
}

async function demo(signal: AbortSignal): Promise<void> {
  const base = await makeDirectory();
  const image = join(base, 'disk.img');

  say('Making a disk image: GPT, one ext4 file system, files of this machine');
  const scratch = join(base, 'files');
  await mkdir(scratch);
  const content = await makeImage(image, scratch, signal);
  await rm(scratch, { recursive: true });
  const allocated = Number((await run('stat', ['--format=%b', image], { signal })).stdout) * 512;
  tell(`${formatBytes(IMAGE_SIZE)} of virtual size, ${formatBytes(allocated)} of data: ${content.files} files`);

  const target = await makeTarget(base, IMAGE_SIZE, cleanup, signal);
  tell(`target: ${target.description}`);

  say('Starting ferry serve, with its queue server');
  const { url } = await startService(join(base, 'state'), [base, target.path], cleanup, signal);
  tell(url);

  say(`ferry import disk.img ${target.path} --verify --follow`);
  const importing = [FERRY, 'import', image, target.path, '--verify', '--follow', '--server', url];
  await run(process.execPath, importing, { signal, visible: true });

  say('Comparing source and target byte for byte, with cmp');
  await compare(image, target.path, signal);
  tell('verified');

  say('The same copy again, timed until the target is durable, and by others (median of 3 where it is quick)');
  const request = {
    kind: 'upload' as const,
    source: { type: 'file' as const, path: image },
    target: { type: target.path.startsWith('/dev/') ? ('block' as const) : ('file' as const), path: target.path },
  };
  const ours = [
    { name: 'imageferry', how: 'import', copy: () => timeJob(url, request, signal) },
    {
      name: 'imageferry',
      // What qemu-img does: it gives free space back, where our default reserves it.
      how: 'import --sparse',
      copy: () => timeJob(url, { ...request, options: { allocation: 'sparse' } }, signal),
    },
  ];
  const timings: Timing[] = [];
  for (const contender of [...ours, ...contenders(image, target, signal)]) {
    const timing = await time(contender, image, target, signal);
    timings.push(timing);
    tell(`${timing.name} ${timing.how}: ${outcome(timing)}`);
  }
  console.log(`\n${comparisonTable(timings, IMAGE_SIZE)}`);
  if (timings.some(({ name, durationMs }) => name === 'imageferry' && typeof durationMs === 'string')) {
    throw new Error('the timed import failed');
  }
}

/** @throws Error where the two differ, or one is shorter */
async function compare(image: string, target: string, signal: AbortSignal): Promise<void> {
  const size = `--bytes=${IMAGE_SIZE}`;
  if (!target.startsWith('/dev/')) return void (await run('cmp', [size, image, target], { signal }));
  // Past the page cache: what the device holds is what counts. And cmp by itself reads devices in 4 KiB.
  const pipe = 'dd if="$2" bs=8M iflag=direct status=none | cmp "$0" "$1" -';
  await run('sh', ['-c', pipe, size, image, target], { signal });
}

async function makeDirectory(): Promise<string> {
  const parent = process.env.FERRY_DEMO_DIR || tmpdir();
  await mkdir(parent, { recursive: true });
  const { bavail, bsize } = await statfs(parent);
  if (bavail * bsize < NEEDED) {
    throw new Error(
      `${parent} has ${formatBytes(bavail * bsize)} free, the demo needs ${formatBytes(NEEDED)}: set FERRY_DEMO_DIR to a roomier directory`,
    );
  }
  const base = await mkdtemp(join(parent, 'ferry-demo-'));
  cleanup.add(base, () => rm(base, { recursive: true, force: true }));
  return base;
}

function say(step: string): void {
  console.log(`\n== ${step}`);
}

function tell(fact: string): void {
  console.log(`   ${fact}`);
}

function outcome({ durationMs }: Timing): string {
  return typeof durationMs === 'string' ? durationMs : `${(durationMs / 1000).toFixed(2)} s`;
}
