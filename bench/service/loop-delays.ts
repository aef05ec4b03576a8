/** Delay of a server's event loop over a span of time, from the histogram that it shows at /metrics. */

/** Seconds, up to and including; counts from the start of the server. */
type Buckets = ReadonlyMap<number, number>;

/** Upper bounds of the histogram's buckets, in ms. */
export interface Delays {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export async function readDelays(url: string): Promise<Buckets> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const found = text.matchAll(/^ferry_event_loop_delay_seconds_bucket\{.*?le="([^"]+)".*?\} (\d+)/gm);
  return new Map([...found].map(([, bound, count]) => [bound === '+Inf' ? Infinity : Number(bound), Number(count)]));
}

export function spanOf(before: Buckets, after: Buckets): Delays {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound) => (after.get(bound) ?? 0) - (before.get(bound) ?? 0));
  const all = counts.at(-1) ?? 0;
  if (all === 0) throw new Error('the server shows no delay of its event loop');
  const below = (share: number) => (bounds[counts.findIndex((count) => count >= all * share)] ?? Infinity) * 1000;
  return { p50: below(0.5), p99: below(0.99), max: below(1) };
}
