/** What every kind of job is run with, and what they share: opening the target, settling the end. */
import type { Config } from '../../shared/config.js';
import type { Log } from '../../shared/log.js';
import type { StorageLimits } from '../../shared/nbd-roots.js';
import { parseNbdUri } from '../../shared/nbd-uri.js';
import type { Checkpoint } from '../../shared/queue/checkpoint.js';
import type { JobResult, Plan, StoredSource, UploadRequest, ZeroRequest } from '../../shared/schemas/job.js';
import type { Workers } from '../../workers/pool.js';
import type { Handle } from '../../workers/storage/handle.js';
import type { ClientSide } from './data-plane.js';
import { cut, sum } from './layout.js';
import type { Owner } from './owner.js';
import type { JobProgress } from './progress.js';
import type { Throttle } from './throttle.js';

/** Why an attempt is to stop. */
export type StopReason = 'cancel' | 'pause' | 'shutdown' | 'lost';

export interface JobRun {
  readonly workers: Workers;
  readonly config: Pick<Config, 'storageRoots' | 'nbdHosts' | 'flushIntervalMs'>;
  readonly progress: JobProgress;
  readonly log: Log;
  /** 1 for the first: what a client said of a target's state is true only until then. */
  readonly attempt: number;
  readonly owner: Owner;
  readonly throttle: Throttle;
  /** What earlier attempts made durable; null: nothing. */
  readonly checkpoint: Checkpoint | null;
  /** Of a job with a client; null where nothing serves clients. */
  readonly client: ClientSide | null;
  /** null while nobody wants it to stop. */
  readonly stopping: () => StopReason | null;
}

/**
 * Before each step: waits until so many bytes may move, and makes sure that the job still is ours.
 * @param moved  bytes that are read or written; 0 for what the storage does by itself
 * @throws FerryError CANCELED, LEASE_LOST
 */
export async function beforeStep({ throttle, owner, progress: { control } }: JobRun, moved: number): Promise<void> {
  const stopped = () => control.stopped || !control.leased;
  for (let left = moved; left > 0 && !stopped(); ) left -= await throttle.take(left, stopped);
  await owner.confirm();
  control.check();
}

/**
 * A step that moves all of its ranges: as one, or in parts where a limit was lowered since it was cut.
 * @throws FerryError CANCELED, LEASE_LOST, and what `work` throws
 */
export async function inParts(
  run: JobRun,
  ranges: Float64Array,
  work: (part: Float64Array) => Promise<void>,
): Promise<void> {
  const { throttle, progress } = run;
  const stopped = () => progress.control.stopped || !progress.control.leased;
  for (let left = ranges; left.length > 0; ) {
    const [part, rest] = cut(left, await throttle.take(sum(left), stopped));
    await beforeStep(run, 0);
    await work(part);
    left = rest;
  }
}

/** Steps of one job in flight now: the jobs that run share the threads, and each has a queue at its device. */
export function stepsInFlight(workers: Workers): () => number {
  return () => Math.max(Math.min(LEAST_IN_FLIGHT, workers.options.threads), workers.share);
}

const LEAST_IN_FLIGHT = 2;

/** Opens handles through `keep`, and closes every one of them at the end, however that came. */
export async function withHandles<T>(
  workers: Workers,
  work: (keep: <H extends Handle>(opening: Promise<H>) => Promise<H>) => Promise<T>,
): Promise<T> {
  const handles: Handle[] = [];
  const leave = workers.join();
  // The target first: its lock is what another job may be waiting for.
  const closeAll = async () => {
    leave();
    await workers.run('close', { handles: handles.toReversed() });
  };
  let value: T;
  try {
    value = await work(async (opening) => {
      const handle = await opening;
      handles.push(handle);
      return handle;
    });
  } catch (reason) {
    // Why the work failed is what counts, not what closing says after that.
    await closeAll().catch(() => {});
    throw reason;
  }
  await closeAll();
  return value;
}

/** @param plan  null: a client did the work */
export function makeResult(progress: JobProgress, plan: Plan | null, startedMs: number): JobResult {
  progress.end();
  const { control } = progress;
  return {
    ...(plan === null ? {} : { plan }),
    durationMs: roundMs(performance.now() - startedMs),
    phases: roundPhases(progress),
    copiedBytes: control.read('copied'),
    clonedBytes: control.read('cloned'),
    resumedBytes: progress.resumedBytes,
    detectedZeroBytes: control.read('detectedZero'),
    zeroed: control.zeroed(),
  };
}

/** Whole microseconds: what comes after them is noise. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

export function roundPhases({ phaseMs }: JobProgress): JobResult['phases'] {
  return Object.fromEntries(Object.entries(phaseMs).map(([phase, ms]) => [phase, roundMs(ms)]));
}

/** What opening a source takes. */
export function sourceRequest(source: StoredSource, limits: StorageLimits) {
  if (source.type === 'nbd') return { nbd: parseNbdUri(source.uri, 'source.uri'), ...limits };
  return { path: source.path, roots: limits.roots };
}

/** The part of opening a target that follows from the request alone. */
export function targetRequest(request: UploadRequest | ZeroRequest, limits: StorageLimits, attempt: number) {
  const { target } = request;
  // An earlier attempt has written: the target is not what the client vouched for any more.
  const declaredZero = request.kind === 'upload' && request.options.targetIsZero && attempt === 1;
  if (target.type === 'nbd') return { nbd: parseNbdUri(target.uri, 'target.uri'), ...limits, declaredZero };
  const fileSize = target.type === 'file' ? (target.size ?? null) : null;
  return { type: target.type, path: target.path, roots: limits.roots, fileSize, declaredZero };
}

export function limitsOf({ storageRoots, nbdHosts }: Pick<Config, 'storageRoots' | 'nbdHosts'>): StorageLimits {
  return { roots: storageRoots, nbdHosts };
}
