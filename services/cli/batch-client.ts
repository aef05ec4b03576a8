/** Batches over the API. What is said of `ApiClient` holds here. */
import { z } from 'zod';
import { type BatchRequestInput, BatchSummary, BatchView } from '../../shared/schemas/batch.js';
import { type ApiTransport, keyHeader, type News, queryOf, understand } from './api-transport.js';

const BatchAccepted = z.looseObject({ id: z.string(), state: z.string(), disks: z.number() });
export type BatchAccepted = z.infer<typeof BatchAccepted>;
const BatchPage = z.object({ batches: z.array(BatchSummary), nextCursor: z.string().nullable() });
export type BatchPage = z.infer<typeof BatchPage>;

export interface BatchFilter {
  readonly state?: string | undefined;
  readonly pool?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export class BatchClient {
  constructor(private readonly transport: ApiTransport) {}

  async submit(request: BatchRequestInput, idempotencyKey?: string): Promise<BatchAccepted> {
    const extra = { body: request, headers: keyHeader(idempotencyKey) };
    return understand(BatchAccepted, (await this.transport.ask('POST', '/v1/batches', extra)).body);
  }

  async list({ limit, ...filter }: BatchFilter): Promise<BatchPage> {
    const path = `/v1/batches${queryOf({ limit, ...filter })}`;
    return understand(BatchPage, (await this.transport.ask('GET', path)).body);
  }

  async batch(id: string): Promise<BatchView> {
    return understand(BatchView, (await this.transport.ask('GET', batchPath(id))).body);
  }

  /** Waits for a version of the batch other than `etag`. @returns null when nothing changed within `waitSeconds` */
  async batchAfter(id: string, etag: string | null, waitSeconds: number): Promise<News<BatchView> | null> {
    return await this.transport.askAfter(BatchView, batchPath(id), etag, waitSeconds);
  }

  async cancel(id: string): Promise<BatchSummary> {
    return understand(BatchSummary, (await this.transport.ask('DELETE', batchPath(id))).body);
  }

  async tell(id: string, what: 'pause' | 'resume' | 'retry'): Promise<BatchSummary> {
    return understand(BatchSummary, (await this.transport.ask('POST', `${batchPath(id)}/${what}`)).body);
  }
}

function batchPath(id: string): string {
  return `/v1/batches/${encodeURIComponent(id)}`;
}
