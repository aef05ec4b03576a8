/**
 * `npm run demo`: imports a real disk image with imageferry, proves it byte for byte, and shows how long
 * dd and qemu-img take for the same copy. Leaves nothing behind, also when it fails or is interrupted.
 * FERRY_DEMO_DIR: where its files go (about 8 GiB for a minute); default: the directory for temporary files.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, GiB, MiB } from '../shared/units.js';
import { run } from './demo/children.js';
import { compare } from './demo/compare.js';
import { comparisonTable, contenders, type Timing, time } from './demo/comparison.js';
import { FERRY } from './demo/ferry.js';
import { allocatedBytes, makeImage } from './demo/image.js';
import { startService, timeJob } from './demo/service.js';
import { makeDirectory, perform, type Stage, say, tell } from './demo/stage.js';
import { makeTarget } from './demo/target.js';

const NEEDED = 8 * GiB;
const IMAGE_SIZE = 6 * GiB;
const CONTENT = 400 * MiB;

await perform(demo);

async function demo(stage: Stage): Promise<void> {
  const { signal, cleanup } = stage;
  const base = await makeDirectory(stage, NEEDED);
  const image = join(base, 'disk.img');

  say('Making a disk image: GPT, one ext4 file system, files of this machine');
  const scratch = join(base, 'files');
  await mkdir(scratch);
  const content = await makeImage(image, scratch, { size: IMAGE_SIZE, contentBytes: CONTENT }, signal);
  await rm(scratch, { recursive: true });
  const allocated = formatBytes(await allocatedBytes(image));
  tell(`${formatBytes(IMAGE_SIZE)} of virtual size, ${allocated} of data: ${content.files} files`);

  const target = await makeTarget(join(base, 'target.img'), IMAGE_SIZE, cleanup, signal);
  tell(`target: ${target.description}`);

  say('Starting ferry serve, with its queue server');
  const { url } = await startService(join(base, 'state'), [base, target.path], cleanup, signal);
  tell(url);

  say(`ferry import disk.img ${target.path} --verify --follow`);
  const importing = [FERRY, 'import', image, target.path, '--verify', '--follow', '--server', url];
  await run(process.execPath, importing, { signal, visible: true });

  say('Comparing source and target byte for byte, with cmp');
  await compare(image, target.path, IMAGE_SIZE, signal);
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

function outcome({ durationMs }: Timing): string {
  return typeof durationMs === 'string' ? durationMs : `${(durationMs / 1000).toFixed(2)} s`;
}
