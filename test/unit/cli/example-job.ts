/** A job as the API shows it, for tests that only look at it. */
import type { JobView } from '../../../shared/schemas/job.js';
import { GiB, MiB } from '../../../shared/units.js';

const ID = '01a20593-8e73-76f8-a0cc-faed16ae883f';

export function exampleJob(change: Partial<JobView> = {}): JobView {
  return {
    id: ID,
    kind: 'upload',
    state: 'active',
    phase: 'copying',
    pool: 'default',
    labels: { vm: 'web-1' },
    batch: null,
    source: { type: 'file', path: '/srv/a.img', format: 'raw' },
    target: { type: 'block', path: '/dev/vg/lv' },
    options: {
      allocation: 'preallocated',
      verify: false,
      detectZeroes: true,
      targetIsZero: false,
      zeroTail: true,
      priority: 0,
      bandwidthBytesPerSecond: null,
    },
    progress: exampleProgress(50),
    attempt: 1,
    node: 'node-1',
    requested: null,
    createdAt: '2026-01-02T03:04:05.678Z',
    startedAt: '2026-01-02T03:04:06.000Z',
    endedAt: null,
    links: { self: `/v1/jobs/${ID}`, events: `/v1/jobs/${ID}/events` },
    ...change,
  };
}

export function exampleProgress(percent: number): NonNullable<JobView['progress']> {
  return {
    totalBytes: GiB,
    dataBytes: GiB,
    zeroBytes: 0,
    doneBytes: Math.floor((GiB * percent) / 100),
    durableBytes: 0,
    verifiedBytes: 0,
    percent,
    bytesPerSecond: 100 * MiB,
    etaSeconds: percent >= 100 ? 0 : 12,
  };
}

export function completedJob(): JobView {
  return exampleJob({
    state: 'completed',
    phase: null,
    endedAt: '2026-01-02T03:04:08.000Z',
    progress: exampleProgress(100),
    result: {
      plan: {
        strategy: 'zero-first',
        proof: 'zeroed',
        reason: 'zeroing is cheap',
        allocation: 'preallocated',
        zeroMethods: ['fallocate-zero-range'],
        directIo: true,
        sectorSize: 512,
        imageBytes: GiB,
        targetBytes: GiB,
        dataBytes: 200 * MiB,
        zeroBytes: GiB - 200 * MiB,
        tailBytes: 0,
        extents: 3,
        steps: 20,
        warnings: ['a warning'],
        estimateSeconds: 2,
      },
      durationMs: 2000,
      phases: { opening: 10, zeroing: 90, copying: 1800, flushing: 100 },
      copiedBytes: 200 * MiB,
      clonedBytes: 0,
      resumedBytes: 0,
      detectedZeroBytes: MiB,
      zeroed: [{ method: 'fallocate-zero-range', bytes: GiB, calls: 8, durationMs: 80 }],
      checksum: { algorithm: 'sha256', blockSize: 4 * MiB, checksum: 'abc123' },
    },
  });
}
