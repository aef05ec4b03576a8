/** Reads metrics as Prometheus does, and refuses what it would refuse. Format: exposition format 0.0.4. */
import { expect } from 'chai';

export interface Scrape {
  /** Name → type. */
  readonly types: ReadonlyMap<string, string>;
  readonly help: ReadonlyMap<string, string>;
  /** The value of one series; undefined when it is not there. Labels in any order. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
  /** Every series of a name. */
  series(name: string): readonly Series[];
}

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
// prom-client writes Nan, which Prometheus reads as well.
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? ([Nn]a[Nn]|[+-]?Inf|[-+0-9.e]+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** @throws AssertionError when it is not well-formed: a line that is no sample, a name without a type, a series twice */
export function parseMetrics(text: string): Scrape {
  const types = new Map<string, string>();
  const help = new Map<string, string>();
  const found = new Map<string, Series[]>();
  const seen = new Set<string>();
  expect(text.endsWith('\n'), 'ends with a newline').to.equal(true);
  for (const line of text.split('\n')) {
    const comment = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line);
    if (comment !== null) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string];
      const into = kind === 'TYPE' ? types : help;
      expect(into.has(name), `${kind} of ${name} twice`).to.equal(false);
      into.set(name, rest);
      continue;
    }
    if (line === '') continue;
    const sample = SAMPLE.exec(line);
    if (sample === null) throw new Error(`not a sample: ${line}`);
    const [, name, inner = '', number] = sample as unknown as [string, string, string | undefined, string];
    const base = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    expect(types.has(base), `${name} has no type`).to.equal(true);
    const labels = parseLabels(inner);
    const key = keyOf(name, labels);
    expect(seen.has(key), `${key} twice`).to.equal(false);
    seen.add(key);
    found.set(name, [...(found.get(name) ?? []), { labels, value: toNumber(number) }]);
  }
  const series = (name: string) => found.get(name) ?? [];
  return {
    types,
    help,
    series,
    value: (name, labels = {}) => series(name).find((each) => keyOf(name, each.labels) === keyOf(name, labels))?.value,
  };
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const at = LABEL.lastIndex;
    const match = LABEL.exec(text);
    if (match === null) throw new Error(`not a label: ${text.slice(at)}`);
    labels[match[1] as string] = (match[2] as string).replace(/\\(["\\n])/g, (_, c: string) => (c === 'n' ? '\n' : c));
  }
  return labels;
}

function keyOf(name: string, labels: Readonly<Record<string, string>>): string {
  return `${name}${JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
}

function toNumber(text: string): number {
  return text.endsWith('Inf') ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text);
}
