/** Jobs and nodes over the API: one function a request, answers as typed data, failures as FerryErrors. */

import { z } from 'zod';
import { type FinalizeRequest, type JobPatch, type JobRequestInput, JobView, Plan } from '../../shared/schemas/job.js';
import { NodeView } from '../../shared/schemas/node.js';
import { type ApiTransport, keyHeader, type News, queryOf, understand } from './api-transport.js';
import { BatchClient } from './batch-client.js';

const JobAccepted = z.looseObject({ id: z.string(), state: z.string() });
export type JobAccepted = z.infer<typeof JobAccepted>;
const JobPage = z.object({ jobs: z.array(JobView), nextCursor: z.string().nullable() });
export type JobPage = z.infer<typeof JobPage>;
const NodeList = z.object({ nodes: z.array(NodeView) });

export interface JobFilter {
  readonly state?: string | undefined;
  readonly kind?: string | undefined;
  readonly batch?: string | undefined;
  readonly pool?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Every method throws a FerryError: ServerUnreachable when there was no answer, else what the server said. */
export class ApiClient {
  readonly batches: BatchClient;

  constructor(private readonly transport: ApiTransport) {
    this.batches = new BatchClient(transport);
  }

  async submit(request: JobRequestInput, idempotencyKey?: string): Promise<JobAccepted> {
    const extra = { body: request, headers: keyHeader(idempotencyKey) };
    return understand(JobAccepted, (await this.transport.ask('POST', '/v1/jobs', extra)).body);
  }

  async plan(request: JobRequestInput): Promise<Plan> {
    return understand(Plan, (await this.transport.ask('POST', '/v1/jobs?dryRun=true', { body: request })).body);
  }

  async list({ limit, ...filter }: JobFilter): Promise<JobPage> {
    return understand(JobPage, (await this.transport.ask('GET', `/v1/jobs${queryOf({ limit, ...filter })}`)).body);
  }

  async job(id: string): Promise<JobView> {
    return understand(JobView, (await this.transport.ask('GET', jobPath(id))).body);
  }

  /** Waits for a version of the job other than `etag`. @returns null when nothing changed within `waitSeconds` */
  async jobAfter(id: string, etag: string | null, waitSeconds: number): Promise<News<JobView> | null> {
    return await this.transport.askAfter(JobView, jobPath(id), etag, waitSeconds);
  }

  async cancel(id: string): Promise<JobView> {
    return understand(JobView, (await this.transport.ask('DELETE', jobPath(id))).body);
  }

  async tell(id: string, what: 'pause' | 'resume' | 'retry'): Promise<JobView> {
    return understand(JobView, (await this.transport.ask('POST', `${jobPath(id)}/${what}`)).body);
  }

  /** @param checksum  of the image, for the job to compare */
  async finalize(id: string, checksum: FinalizeRequest['checksum']): Promise<JobView> {
    const body = checksum === undefined ? {} : { checksum };
    return understand(JobView, (await this.transport.ask('POST', `${jobPath(id)}/finalize`, { body })).body);
  }

  async change(id: string, patch: JobPatch): Promise<JobView> {
    return understand(JobView, (await this.transport.ask('PATCH', jobPath(id), { body: patch })).body);
  }

  async nodes(): Promise<NodeView[]> {
    return understand(NodeList, (await this.transport.ask('GET', '/v1/nodes')).body).nodes;
  }
}

function jobPath(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}
