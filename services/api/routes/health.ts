/** GET /healthz: this process answers. GET /readyz: it can also take jobs. For supervisors and load balancers. */
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { Health } from '../schemas.js';

const ok = { description: 'yes', content: { 'application/json': { schema: Health } } };

export const healthz: Route = {
  method: 'get',
  path: '/healthz',
  open: true,
  operation: { operationId: 'health', summary: 'Is the process alive?', responses: { 200: ok } },
  async handle(_context, _request, response) {
    response.json({ status: 'ok' });
  },
};

export const readyz: Route = {
  method: 'get',
  path: '/readyz',
  open: true,
  operation: {
    operationId: 'ready',
    summary: 'Can it take jobs?',
    responses: { 200: ok, ...problems('QUEUE_UNAVAILABLE') },
  },
  async handle({ jobs }, _request, response) {
    await jobs.ping();
    response.json({ status: 'ok' });
  },
};
