/**
 * Values as people type them on a command line, turned into numbers and objects, or refused by name.
 * Suffixes as in coreutils: K, M, G, T, P and KiB, MiB, … count in 1024; kB, KB, MB, GB, … in 1000.
 */
import { InvalidArgumentError } from 'commander';
import { LEAST_BANDWIDTH } from '../../shared/states.js';
import type { Range } from '../../shared/units.js';

const POWERS = 'KMGTP';

/** @throws InvalidArgumentError unless `text` is a whole number of bytes such as `4096`, `10GiB` or `1.5G` */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kKMGTP])(i?B)?|B)?$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError('Expected a size such as 4096, 512MiB or 10GiB.');
  const [, digits, letter, unit] = match;
  const power = letter === undefined ? 0 : POWERS.indexOf(letter.toUpperCase()) + 1;
  // Rounded: 0.1 TiB has no exact floating-point form; a fraction of a byte is a mistake, a rounding error is not.
  const exact = Number(digits) * (unit === 'B' ? 1000 : 1024) ** power;
  const size = Math.round(exact);
  if (Math.abs(size - exact) > 1e-6 * Math.max(1, exact) || !Number.isSafeInteger(size)) {
    throw new InvalidArgumentError('Expected a whole number of bytes below 2^53.');
  }
  return size;
}

/** `START:LENGTH`, both sizes. Collects: commander calls it once an option. */
export function parseRange(text: string, before: readonly Range[] = []): Range[] {
  const [start, length, ...rest] = text.split(':');
  if (start === undefined || length === undefined || rest.length > 0) {
    throw new InvalidArgumentError('Expected START:LENGTH such as 0:1MiB.');
  }
  const range = { start: parseSize(start), length: parseSize(length) };
  if (range.length === 0) throw new InvalidArgumentError('The length must not be 0.');
  return [...before, range];
}

/** `KEY=VALUE`, collected. */
export function parseLabel(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Expected KEY=VALUE.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export function parseInteger(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** An http(s) URL without a path, a query or a secret in it. */
export function parseServerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('Expected a URL such as http://127.0.0.1:8080.');
  }
  if (url.username !== '' || url.password !== '') {
    throw new InvalidArgumentError(
      'Others see the command line: give the token as FERRY_API_TOKEN or FERRY_API_TOKEN_FILE.',
    );
  }
  return text.replace(/\/+$/, '');
}

/** Bytes per second: a size, also written as a rate (`100MiB/s`); at least what the API takes. */
export function parseBandwidth(text: string): number {
  const rate = parseSize(text.replace(/\/s$/, ''));
  if (rate >= LEAST_BANDWIDTH) return rate;
  throw new InvalidArgumentError('Expected 64KiB a second or more; to stop a job, pause it.');
}

/** As `parseBandwidth`, or `none`. Not null, which commander takes for an empty text. */
export function parseBandwidthOrNone(text: string): number | 'none' {
  return text === 'none' ? text : parseBandwidth(text);
}
