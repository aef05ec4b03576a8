/** A plain client of the API for tests: every answer that is not a success is an error with what the server said. */
import type { JobPatch, JobRequestInput, JobView } from '../../shared/schemas/job.js';
import type { NodeView } from '../../shared/schemas/node.js';

const ENDED = ['completed', 'failed', 'canceled'];

export interface Api {
  readonly url: string;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** @throws Error unless the answer is a success */
  send<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Submits a job. @throws Error when it is not accepted */
  submit(request: JobRequestInput): Promise<JobView>;
  job(id: string): Promise<JobView>;
  /** Waits for the first view of the job for which `check` holds. @throws Error when it ends before */
  until(id: string, check: (job: JobView) => boolean): Promise<JobView>;
  /** Waits until the job has ended, however that came. */
  ended(id: string): Promise<JobView>;
  /** Waits until the job is paused. */
  paused(id: string): Promise<JobView>;
  ask(id: string, verb: 'pause' | 'resume' | 'retry'): Promise<JobView>;
  change(id: string, patch: JobPatch): Promise<JobView>;
  cancel(id: string): Promise<JobView>;
  nodes(): Promise<NodeView[]>;
}

export function connectApi(url: string, token?: string): Api {
  const request = (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    return fetch(`${url}${path}`, { ...init, headers });
  };
  const api: Api = {
    url,
    fetch: request,
    async send<T>(method: string, path: string, body?: unknown) {
      const headers = { 'content-type': 'application/json' };
      const sent = body === undefined ? {} : { headers, body: JSON.stringify(body) };
      const answer = await request(path, { method, ...sent });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status}: ${text}`);
      return JSON.parse(text) as T;
    },
    submit: (job) => api.send('POST', '/v1/jobs', job),
    job: (id) => api.send('GET', `/v1/jobs/${id}`),
    async until(id, check) {
      // With the ETag of the answer before no change is missed between two requests.
      let etag: string | null = null;
      for (;;) {
        const wait: RequestInit = etag === null ? {} : { headers: { 'if-none-match': etag } };
        const answer = await request(`/v1/jobs/${id}${etag === null ? '' : '?wait=30'}`, wait);
        if (answer.status === 304) continue;
        if (!answer.ok) throw new Error(`the job was answered with ${answer.status}: ${await answer.text()}`);
        const job = (await answer.json()) as JobView;
        if (check(job)) return job;
        if (ENDED.includes(job.state)) throw new Error(`the job ended before: ${JSON.stringify(job)}`);
        etag = answer.headers.get('etag');
      }
    },
    ended: (id) => api.until(id, (job) => ENDED.includes(job.state)),
    paused: (id) => api.until(id, (job) => job.state === 'paused'),
    ask: (id, verb) => api.send('POST', `/v1/jobs/${id}/${verb}`),
    change: (id, patch) => api.send('PATCH', `/v1/jobs/${id}`, patch),
    cancel: (id) => api.send('DELETE', `/v1/jobs/${id}`),
    nodes: async () => (await api.send<{ nodes: NodeView[] }>('GET', '/v1/nodes')).nodes,
  };
  return api;
}
