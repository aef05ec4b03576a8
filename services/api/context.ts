/** What every route works with, and what a route is. */
import type { Request, Response } from 'express';
import type { Registry } from 'prom-client';
import type { ZodOpenApiOperationObject } from 'zod-openapi';
import type { Config } from '../../shared/config.js';
import type { Log } from '../../shared/log.js';
import type { JobStore } from '../../shared/queue/job-store.js';
import type { PlanClient } from '../../shared/queue/plans.js';

export interface ApiContext {
  readonly config: Pick<Config, 'api' | 'storageRoots' | 'nbdHosts' | 'pools'>;
  readonly log: Log;
  readonly jobs: JobStore;
  readonly plans: PlanClient;
  readonly version: string;
  /** What `GET /metrics` shows; the API adds its own to it. */
  readonly metrics: Registry;
  /** True: paths and pools are those of this machine, so a bad one is refused before it is queued. */
  readonly checkStorage: boolean;
  /** How often an event stream without news says that it is alive. */
  readonly heartbeatMs: number;
  /** Aborted when the server closes: long polls answer and event streams end. */
  readonly closing: AbortSignal;
}

/** One resource and method. The OpenAPI document is made of these, so it cannot forget one. */
export interface Route {
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  /** As OpenAPI writes it: `/v1/jobs/{id}`. */
  readonly path: string;
  /** True: answers without a token. */
  readonly open?: boolean;
  readonly operation: ZodOpenApiOperationObject;
  handle(context: ApiContext, request: Request, response: Response): Promise<void>;
}

/**
 * A signal for work that only makes sense while the client waits: aborted when it goes away or we close.
 * @returns release(), to be called when the work is done: the server's own signal outlives every request
 */
export function whileWanted(
  context: ApiContext,
  response: Response,
): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  response.once('close', abort);
  context.closing.addEventListener('abort', abort, { once: true });
  if (context.closing.aborted || response.destroyed) abort();
  return {
    signal: controller.signal,
    release: () => {
      response.off('close', abort);
      context.closing.removeEventListener('abort', abort);
    },
  };
}
