/**
 * The batches in Redis: created whole, read in one round trip, and changed as a whole. What a disk does is a matter
 * of its job (`job-store.ts`); how many may run is settled by the scripts (`scripts/prelude.ts`).
 */

import type { Redis } from 'ioredis';
import { v7 as uuidv7 } from 'uuid';
import { FerryError } from '../errors.js';
import type { BatchRequest } from '../schemas/batch.js';
import type { JobState, UploadRequest } from '../schemas/job.js';
import { storageName } from '../storage-name.js';
import { type BatchLayout, decodeBatch, decodeDetail, isOver } from './batch-codec.js';
import type { BatchDetail, Batches, BatchFilter, BatchPage, BatchRecord, CreatedBatch } from './batch-records.js';
import { canonicalJson, sha256 } from './canonical.js';
import { queueCall } from './connection.js';
import { keys } from './keys.js';
import { decodeCursor, encodeCursor } from './listing.js';
import { pairsToHash, type RecordHash } from './record-codec.js';
import type { RunScript } from './run-script.js';
import { waitForVersion } from './wait.js';
import type { Watchers } from './watchers.js';

export interface BatchStoreOptions {
  readonly redis: Redis;
  readonly run: RunScript;
  readonly watchers: Watchers;
  readonly closed: () => boolean;
  /** Hands to BullMQ what the scripts made ready. */
  readonly schedule: () => void;
  /** Takes an entry back from BullMQ; failing to is harmless. */
  readonly unschedule: (id: string, pool: string) => Promise<boolean>;
}

const PAGE = 100;
const MAX_WALKED = 5000;

export class BatchStore implements Batches {
  constructor(private readonly options: BatchStoreOptions) {}

  async create(
    request: BatchRequest,
    { idempotencyKey }: { readonly idempotencyKey?: string | undefined } = {},
  ): Promise<CreatedBatch> {
    const text = canonicalJson(request);
    const { name, pool, maxConcurrentDisks, onFailure, labels, vms } = request;
    const layout: BatchLayout = vms.map((vm) => [vm.name, vm.disks.length]);
    const keyHash = idempotencyKey === undefined ? '' : sha256(idempotencyKey);
    const head = [name, pool, maxConcurrentDisks, onFailure, JSON.stringify(labels), JSON.stringify(layout)];
    const jobs = diskRequests(request).flatMap(({ vm, request: job }) => [
      uuidv7(),
      job.kind,
      canonicalJson(job),
      job.options.priority,
      job.options.bandwidthBytesPerSecond ?? 0,
      storageName(job.target),
      vm,
    ]);
    const answer = await this.options.run('createBatch', uuidv7(), ...head, keyHash, sha256(text), ...jobs);
    this.options.schedule();
    return toCreated(answer) as CreatedBatch;
  }

  async findCreated(request: BatchRequest, idempotencyKey: string): Promise<CreatedBatch | null> {
    return toCreated(await this.options.run('replay', sha256(idempotencyKey), sha256(canonicalJson(request))));
  }

  async get(id: string): Promise<BatchDetail | null> {
    const answer = await this.options.run('batch', id);
    return answer.length === 0 ? null : decodeDetail(pairsToHash(answer[0]), answer[1]);
  }

  async list(filter: BatchFilter, limit: number, cursor?: string): Promise<BatchPage> {
    const { redis } = this.options;
    return await queueCall(async () => {
      const batches: BatchRecord[] = [];
      let max = cursor === undefined ? '+' : `(${decodeCursor(cursor)}`;
      for (let walked = 0; walked < MAX_WALKED; walked += PAGE) {
        const ids = await redis.zrevrangebylex(keys.batches, max, '-', 'LIMIT', 0, PAGE);
        for (const batch of await this.#read(ids)) {
          if (filter.state !== undefined && batch.state !== filter.state) continue;
          if (filter.pool !== undefined && batch.pool !== filter.pool) continue;
          batches.push(batch);
          if (batches.length === limit) return { batches, nextCursor: await this.#cursorAfter(batch.id) };
        }
        const last = ids.at(-1);
        if (last === undefined || ids.length < PAGE) return { batches, nextCursor: null };
        max = `(${last}`;
      }
      return { batches, nextCursor: encodeCursor(max.slice(1)) };
    });
  }

  async waitForChange(
    id: string,
    since: number | 'current',
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<BatchDetail | null> {
    return await waitForVersion({
      read: () => this.get(id),
      isOver,
      watch: (callback) => this.options.watchers.watch(id, callback),
      since,
      timeoutMs,
      signal,
      closed: this.options.closed,
    });
  }

  async cancel(id: string): Promise<BatchRecord> {
    return await this.#change('cancelBatch', id, 'canceled');
  }

  async pause(id: string): Promise<BatchRecord> {
    return await this.#change('pauseBatch', id, 'paused');
  }

  async resume(id: string): Promise<BatchRecord> {
    return await this.#change('resumeBatch', id, 'resumed');
  }

  async retry(id: string): Promise<BatchRecord> {
    const [answer] = await this.options.run('retryBatch', id);
    if (answer === 'missing') throw notFound(id);
    if (answer === 'none') throw new FerryError('BATCH_STATE_CONFLICT', 'no disk of the batch has failed');
    this.options.schedule();
    return await this.#need(id);
  }

  async #change(
    script: 'cancelBatch' | 'pauseBatch' | 'resumeBatch',
    id: string,
    participle: string,
  ): Promise<BatchRecord> {
    const [answer, ...rest] = await this.options.run(script, id);
    if (answer === 'missing') throw notFound(id);
    if (answer === 'ended') {
      throw new FerryError('BATCH_STATE_CONFLICT', `the batch is ${rest[0]}: it cannot be ${participle}`);
    }
    this.options.schedule();
    const batch = await this.#need(id);
    await Promise.all(rest.map((job) => this.options.unschedule(job, batch.pool)));
    return batch;
  }

  async #need(id: string): Promise<BatchRecord> {
    const [batch] = await queueCall(() => this.#read([id]));
    if (batch === undefined) throw notFound(id);
    return batch;
  }

  async #read(ids: readonly string[]): Promise<BatchRecord[]> {
    const pipeline = this.options.redis.pipeline();
    for (const id of ids) pipeline.hgetall(keys.batch(id));
    const batches: BatchRecord[] = [];
    for (const [error, hash] of (await pipeline.exec()) ?? []) {
      if (error) throw error;
      const batch = decodeBatch(hash as RecordHash);
      if (batch !== null) batches.push(batch);
    }
    return batches;
  }

  async #cursorAfter(id: string): Promise<string | null> {
    const more = await this.options.redis.zrevrangebylex(keys.batches, `(${id}`, '-', 'LIMIT', 0, 1);
    return more.length > 0 ? encodeCursor(id) : null;
  }
}

/** The jobs that a batch consists of, in its order. Labels of the disk go before those of its VM and of the batch. */
export function diskRequests(batch: BatchRequest): { vm: string; request: UploadRequest }[] {
  return batch.vms.flatMap((vm) =>
    vm.disks.map(({ source, target, options, labels }) => ({
      vm: vm.name,
      request: {
        kind: 'upload' as const,
        source,
        target,
        options,
        pool: batch.pool,
        labels: { ...batch.labels, ...vm.labels, ...labels },
      },
    })),
  );
}

function toCreated([answer, id, kind, state, disks]: readonly (string | number)[]): CreatedBatch | null {
  if (answer === 'unknown') return null;
  if (answer === 'conflict' || kind !== 'batch') {
    throw new FerryError('IDEMPOTENCY_CONFLICT', `the Idempotency-Key was used with another body, for ${kind} ${id}`);
  }
  return { id: id as string, state: state as JobState, disks: Number(disks), replayed: answer === 'replayed' };
}

function notFound(id: string): FerryError {
  return new FerryError('BATCH_NOT_FOUND', `there is no batch ${id}`);
}
