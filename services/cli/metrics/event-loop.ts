/**
 * How late the event loop is: when it is, answers and reports are. A histogram, which can be added up over processes
 * and asked for any span of time; Node.js's own numbers begin anew at each scrape and count the 10 ms of their timer.
 */
import { Histogram, type Registry } from 'prom-client';

const EVERY_MS = 20;
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** @returns stop() */
export function watchEventLoop(registry: Registry): () => void {
  const delays = new Histogram({
    name: 'ferry_event_loop_delay_seconds',
    help: 'How late the event loop of the process was, looked at 50 times a second',
    buckets: BUCKETS_SECONDS,
    registers: [registry],
  });
  let due = performance.now() + EVERY_MS;
  const timer = setInterval(() => {
    const now = performance.now();
    delays.observe(Math.max(0, now - due) / 1000);
    due = now + EVERY_MS;
  }, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
