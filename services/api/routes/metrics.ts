/** GET /metrics: what this process measures, as Prometheus reads it (docs/metrics.md). */
import type { Route } from '../context.js';
import { sendMetrics } from '../metrics.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { NoQuery } from '../schemas.js';

export const metrics: Route = {
  method: 'get',
  path: '/metrics',
  operation: {
    operationId: 'metrics',
    summary: 'Metrics for Prometheus',
    responses: {
      200: { description: 'text exposition format', content: { 'text/plain': { schema: { type: 'string' } } } },
      ...problems('BAD_REQUEST'),
    },
  },
  async handle({ metrics: registry }, request, response) {
    readQuery(NoQuery, request);
    await sendMetrics(registry, response);
  },
};
