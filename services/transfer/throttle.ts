/**
 * Limits the bytes a second of one job, below that of its node. Bytes are taken before a step is sent to a thread:
 * a thread that waited would be missing to other jobs. What is taken is what moves: data that is read and written,
 * and zeroes that have to be written; zeroes that the storage makes by itself cost nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TokenBucket } from 'limiter';
import { alignDown, KiB } from '../../shared/units.js';
import { STEP_BYTES } from './layout.js';

/** A second is cut into so many parts: what is sent at once after a pause, and how long a step is. */
const PARTS = 4;
const LEAST = 64 * KiB;
const LOOK_AGAIN_MS = 100;

/** A limit over everything that shares it. */
export function createBucket(bytesPerSecond: number | null, parent?: TokenBucket): TokenBucket {
  const limit = bytesPerSecond ?? 0;
  const bucket = new TokenBucket({
    bucketSize: 0,
    tokensPerInterval: limit,
    interval: 'second',
    ...(parent === undefined ? {} : { parentBucket: parent }),
  });
  setLimit(bucket, bytesPerSecond);
  return bucket;
}

function setLimit(bucket: TokenBucket, bytesPerSecond: number | null): void {
  bucket.drip();
  bucket.tokensPerInterval = bytesPerSecond ?? 0;
  // Without a size the bucket lets everything through, and its parent is not asked: that one is asked by itself.
  bucket.bucketSize = bytesPerSecond === null ? 0 : Math.max(LEAST, bytesPerSecond / PARTS);
  bucket.content = Math.min(bucket.content, bucket.bucketSize);
}

/** @returns the bytes taken, whole sectors or all; 0 after a while in which there were none */
async function takePart(bucket: TokenBucket, wanted: number): Promise<number> {
  const part = Math.min(wanted, alignDown(Math.floor(bucket.bucketSize), LEAST));
  if (bucket.tryRemoveTokens(part)) return part;
  await sleep(Math.min(LOOK_AGAIN_MS, Math.max(1, bucket.getWaitTime(part))));
  return 0;
}

export class Throttle {
  readonly #job = createBucket(null);
  readonly #node: TokenBucket;

  constructor(node: TokenBucket = createBucket(null)) {
    this.#node = node;
  }

  /** Changes the limit of the job, also while it waits. null: only that of the node is left. */
  limit(bytesPerSecond: number | null): void {
    if (bytesPerSecond === this.#limitOf(this.#job)) return;
    setLimit(this.#job, bytesPerSecond);
  }

  /**
   * How much a step may move, so that the rate is smooth and a change of it is felt soon.
   * @param most  where there is no limit
   */
  stepBytes(most = STEP_BYTES): number {
    const limits = [this.#limitOf(this.#job), this.#limitOf(this.#node)].filter((limit) => limit !== null);
    if (limits.length === 0) return most;
    return Math.max(LEAST, Math.min(STEP_BYTES, alignDown(Math.floor(Math.min(...limits) / PARTS), LEAST)));
  }

  /**
   * Waits until bytes may move, or `stopped` says that they will not.
   * @returns how many of them: all, or what a step is by now, when the limit was lowered meanwhile. Whoever waited
   *          on for a step of the old size would stand still, and then send all of it at once
   */
  async take(length: number, stopped: () => boolean): Promise<number> {
    let taken = 0;
    while (taken < length && !stopped()) {
      if (this.#job.bucketSize === 0) taken = length;
      else if (taken > 0 && taken >= this.stepBytes()) break;
      else taken += await takePart(this.#job, length - taken);
    }
    // The limit of the node does not change.
    let left = taken;
    while (left > 0 && this.#node.bucketSize > 0 && !stopped()) left -= await takePart(this.#node, left);
    return taken;
  }

  #limitOf(bucket: TokenBucket): number | null {
    return bucket.bucketSize === 0 ? null : bucket.tokensPerInterval;
  }
}
