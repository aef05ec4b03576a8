/** The times of native calls as a Prometheus histogram: what `workers/call-times.ts` holds, read when it is asked for. */
import type { Metric } from 'prom-client';
import { BOUNDS_SECONDS, CALLS, type Call, type CallTimes } from '../../workers/call-times.js';

const NAME = 'ferry_native_call_seconds';
const HELP = 'How long system calls on storage took, by what they did; also those that failed';

interface Value {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A metric of our own: prom-client's histogram keeps its numbers itself. Every operation is there from the start. */
export function callHistogram(times: CallTimes): Metric {
  const metric = {
    name: NAME,
    help: HELP,
    type: 'histogram',
    aggregator: 'sum',
    get: async () => ({
      name: NAME,
      help: HELP,
      type: 'histogram',
      values: CALLS.flatMap((call) => values(times, call)),
    }),
    reset() {},
  };
  return metric as unknown as Metric;
}

function values(times: CallTimes, operation: Call): Value[] {
  const { counts, sumSeconds } = times.read(operation);
  let calls = 0;
  const buckets = counts.map((count, bucket) => {
    calls += count;
    return { metricName: `${NAME}_bucket`, labels: { operation, le: BOUNDS_SECONDS[bucket] ?? '+Inf' }, value: calls };
  });
  return [
    ...buckets,
    { metricName: `${NAME}_sum`, labels: { operation }, value: sumSeconds },
    { metricName: `${NAME}_count`, labels: { operation }, value: calls },
  ];
}
