/**
 * The metrics of a process without an API, on a port of their own: `GET /metrics` and nothing else, behind the same
 * guards as the API.
 */
import { createServer } from 'node:http';
import type { Express } from 'express';

// By require() as in shared/queue/bullmq.ts.
import express = require('express');

import { FerryError } from '../../shared/errors.js';
import type { ApiContext } from './context.js';
import { browserGuard, tokenGuard } from './guard.js';
import { closeServer, listen } from './listen.js';
import { sendMetrics } from './metrics.js';
import { problemHandler } from './problem.js';
import type { RunningApi } from './server.js';

export interface MetricsServerOptions extends Pick<ApiContext, 'log' | 'metrics'> {
  readonly host: string;
  readonly port: number;
  /** null: only programs of this machine are served. */
  readonly token: string | null;
}

const PATH = '/metrics';
const REQUEST_TIMEOUT_MS = 10_000;

/** @throws FerryError CONFIG_INVALID  the address cannot be listened on */
export async function startMetricsServer(options: MetricsServerOptions): Promise<RunningApi> {
  const server = createServer(createMetricsApp(options));
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  const url = await listen(server, options, 'FERRY_METRICS_HOST, FERRY_METRICS_PORT');
  let closed: Promise<void> | undefined;
  return {
    url: `${url}${PATH}`,
    close: () => {
      closed ??= closeServer(server);
      return closed;
    },
  };
}

function createMetricsApp({ host, port, token, log, metrics: registry }: MetricsServerOptions): Express {
  const context = { config: { api: { host, port, token } }, log: log.child({ part: 'metrics' }) };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.use(browserGuard(context));
  app.use(tokenGuard(context));
  app.get(PATH, (_request, response) => sendMetrics(registry, response));
  app.use((request, _response, next) => {
    next(new FerryError('NOT_FOUND', `there is no ${request.path}`));
  });
  app.use(problemHandler(context));
  return app;
}
