/**
 * How long the API takes to answer, for Prometheus: by route as it is described (`/v1/jobs/{id}`), never by the path
 * that was asked for, so that no client can make the metrics grow.
 */
import type { RequestHandler, Response } from 'express';
import { Histogram, type Registry } from 'prom-client';

/** From a look into Redis to a long poll. */
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Refused before its route was known: unknown path, no token. */
const NO_ROUTE = 'none';
/** The client went away before it had an answer. */
const NO_STATUS = 'aborted';
const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'];

/** @returns a handler to put before all others */
export function requestTimes(registry: Registry): RequestHandler {
  const seconds = new Histogram({
    name: 'ferry_api_request_duration_seconds',
    help: 'How long the API took to answer, by route and status; long polls and event streams last as they are meant to',
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS_SECONDS,
    registers: [registry],
  });
  return (request, response, next) => {
    const end = seconds.startTimer({ method: METHODS.includes(request.method) ? request.method : 'other' });
    response.once('close', () => {
      end({ route: routeOf(response), status: response.headersSent ? response.statusCode : NO_STATUS });
    });
    next();
  };
}

/** Answers with all that is registered, in the text format of Prometheus. */
export async function sendMetrics(registry: Registry, response: Response): Promise<void> {
  response.set('Content-Type', registry.contentType).send(await registry.metrics());
}

/** Says which route answers. */
export function markRoute(path: string): RequestHandler {
  return (_request, response, next) => {
    response.locals.route = path;
    next();
  };
}

function routeOf(response: Response): string {
  const { route } = response.locals as { readonly route?: string };
  return route ?? NO_ROUTE;
}
