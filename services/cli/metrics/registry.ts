/** The one registry of a server program, with what is measured of the process as a whole. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { watchEventLoop } from './event-loop.js';

export interface ProcessMetrics {
  readonly registry: Registry;
  stop(): void;
}

export function createMetrics(version: string, nodeName: string | null): ProcessMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'ferry_info',
    help: 'Always 1; the labels say which imageferry this is, and which node it runs (empty: none)',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version, node: nodeName ?? '' }, 1);
  return { registry, stop: watchEventLoop(registry) };
}
