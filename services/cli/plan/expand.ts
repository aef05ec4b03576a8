/**
 * What a plan may say in short, written out as the API wants it: a path instead of a source or a target, relative paths,
 * sizes such as `10GiB`. What is wrong otherwise is left as it is, for the schema to name.
 */
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { FieldProblem } from '../../../shared/errors.js';
import { parseSize } from '../parse.js';
import { isNbd, isUrl, looksLikeDevice } from '../targets.js';

type Fields = Readonly<Record<string, unknown>>;

/** Writes out one plan, and collects what could not be. */
export class Expansion {
  readonly problems: FieldProblem[] = [];

  /** @param base  what relative paths are relative to */
  constructor(private readonly base: string) {}

  async plan(plan: Fields): Promise<Fields> {
    return await this.each(plan, 'vms', '', (vm, at) =>
      this.each(vm, 'disks', `${at}.`, (disk, where) => this.disk(disk, where)),
    );
  }

  /** `owner` with every object in its list `name` replaced by what `expand` makes of it. */
  private async each(
    owner: Fields,
    name: string,
    prefix: string,
    expand: (item: Fields, at: string) => Promise<Fields>,
  ): Promise<Fields> {
    const items = owner[name];
    if (!Array.isArray(items)) return owner;
    const expanded: unknown[] = [];
    for (const [index, item] of items.entries()) {
      expanded.push(isFields(item) ? await expand(item, `${prefix}${name}[${index}]`) : item);
    }
    return { ...owner, [name]: expanded };
  }

  private async disk(disk: Fields, at: string): Promise<Fields> {
    const { source, target, options } = disk;
    return {
      ...disk,
      ...(source === undefined ? {} : { source: this.source(source, `${at}.source`) }),
      ...(target === undefined ? {} : { target: await this.target(target, `${at}.target`) }),
      ...(isFields(options) ? { options: this.sized(options, 'bandwidthBytesPerSecond', `${at}.options`) } : {}),
    };
  }

  private source(source: unknown, at: string): unknown {
    if (typeof source === 'string' && isNbd(source)) return { type: 'nbd', uri: source };
    if (typeof source === 'string') return { type: 'file', path: this.path(source, at) };
    if (!isFields(source) || source.type === 'nbd') return source;
    return { type: 'file', ...source, ...this.pathOf(source, `${at}.path`) };
  }

  private async target(target: unknown, at: string): Promise<unknown> {
    if (typeof target === 'string' && isNbd(target)) return { type: 'nbd', uri: target };
    if (isFields(target) && target.type === 'nbd') return target;
    const given = typeof target === 'string' ? { path: target } : target;
    if (!isFields(given)) return target;
    const sized = this.sized(given, 'size', at);
    const { path } = this.pathOf(given, typeof target === 'string' ? at : `${at}.path`);
    if (typeof path !== 'string') return sized;
    // As `ferry import` finds it. A size is something that only files are given.
    const isFile = given.size !== undefined || given.type !== undefined || !(await looksLikeDevice(path));
    return { type: isFile ? 'file' : 'block', ...sized, path };
  }

  private pathOf(fields: Fields, at: string): { path?: unknown } {
    const { path } = fields;
    return path === undefined ? {} : { path: typeof path === 'string' ? this.path(path, at) : path };
  }

  private path(path: string, at: string): string {
    if (isUrl(path))
      this.problems.push({ field: at, message: 'must be a path or an NBD URI; other URLs are not supported yet' });
    // An empty one would become the directory.
    return path === '' ? path : resolve(this.base, path);
  }

  private sized(fields: Fields, name: string, at: string): Fields {
    const text = fields[name];
    if (typeof text !== 'string') return fields;
    try {
      return { ...fields, [name]: parseSize(text) };
    } catch (thrown) {
      if (!(thrown instanceof InvalidArgumentError)) throw thrown;
      this.problems.push({ field: `${at}.${name}`, message: thrown.message });
      const { [name]: _, ...others } = fields;
      return others;
    }
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
