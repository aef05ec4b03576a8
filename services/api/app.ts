/** The Express app: guards, then one handler a route, then problems for everything else. */
import type { Express, RequestHandler } from 'express';

// By require() as in shared/queue/bullmq.ts.
import express = require('express');

import { FerryError } from '../../shared/errors.js';
import type { ApiContext, Route } from './context.js';
import { browserGuard, tokenGuard } from './guard.js';
import { markRoute, requestTimes } from './metrics.js';
import { problemHandler } from './problem.js';
import { routes } from './routes/index.js';

export function createApp(context: ApiContext): Express {
  const times = requestTimes(context.metrics);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.enable('case sensitive routing');
  app.enable('strict routing');

  app.use(requestLog(context));
  app.use(times);
  app.use((_request, response, next) => {
    response.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
    next();
  });
  app.use(browserGuard(context));
  const all = routes(context);
  mount(app, context, all, (route) => route.open === true);
  // From here on, also for what does not exist: a stranger learns nothing of what does.
  app.use(tokenGuard(context));
  mount(app, context, all, (route) => route.open !== true);
  app.use((request, _response, next) => {
    next(new FerryError('NOT_FOUND', `there is no ${request.path}`));
  });
  app.use(problemHandler(context));
  return app;
}

function mount(app: Express, context: ApiContext, all: readonly Route[], which: (route: Route) => boolean): void {
  const chosen = all.filter(which);
  for (const path of new Set(chosen.map((route) => route.path))) {
    const group = chosen.filter((route) => route.path === path);
    const resource = app.route(path.replaceAll(/\{(\w+)\}/g, ':$1'));
    resource.all(markRoute(path));
    for (const route of group) {
      resource[route.method]((request, response) => route.handle(context, request, response));
    }
    // Express answers HEAD by GET.
    const allow = group
      .flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]))
      .join(', ');
    resource.all((request, _response, next) => {
      next(new FerryError('METHOD_NOT_ALLOWED', `${request.method} is not one of ${allow}`, { allow }));
    });
  }
}

function requestLog({ log }: ApiContext): RequestHandler {
  return (request, response, next) => {
    if (!log.isLevelEnabled('debug')) return next();
    const startedAt = performance.now();
    response.once('close', () => {
      const durationMs = Math.round(performance.now() - startedAt);
      // Without the query: what is in it may be nobody's business.
      const path = request.originalUrl.split('?', 1)[0];
      log.debug({ method: request.method, path, status: response.statusCode, durationMs }, 'request');
    });
    next();
  };
}
