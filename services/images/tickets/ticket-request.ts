/**
 * A ticket as the control service is given it: JSON whose integers keep every digit (sizes go up to 2^64).
 * Unknown keys are accepted, as newer clients send them.
 */
import { parse } from 'lossless-json';
import { HttpError } from '../http/http-error.js';
import { parseImageUrl } from './image-url.js';
import type { TicketFields } from './ticket.js';

/** Longer than any machine runs; the sum with the clock stays exact in every client. */
const MOST_SECONDS = 2n ** 53n;
const MOST_BYTES = 2n ** 64n;

type Fields = Readonly<Record<string, unknown>>;

/**
 * @param id  of the path; `uuid` in the body wins over it
 * @throws HttpError 400  the text names the key
 */
export function parseTicket(body: string, id: string, defaultInactivityTimeout: number): TicketFields {
  const fields = parseObject(body);
  const uuid = required(fields, 'uuid', isString, 'a string') || id;
  const size = required(fields, 'size', isInteger(MOST_BYTES), 'a whole number of bytes');
  const ops = required(fields, 'ops', isStrings, 'a list of strings');
  const timeout = required(fields, 'timeout', isInteger(MOST_SECONDS), 'a whole number of seconds');
  const url = required(fields, 'url', isString, 'a string');
  return {
    uuid,
    size,
    ops,
    timeout,
    url,
    image: parseImageUrl(url),
    inactivityTimeout:
      optional(fields, 'inactivity_timeout', isInteger(MOST_SECONDS), 'a whole number of seconds') ??
      BigInt(defaultInactivityTimeout),
    transferId: optional(fields, 'transfer_id', isString, 'a string') ?? `(ticket/${uuid.slice(0, 18)})`,
    filename: optional(fields, 'filename', isString, 'a string') ?? null,
    sparse: optional(fields, 'sparse', isBoolean, 'true or false') ?? false,
    dirty: optional(fields, 'dirty', isBoolean, 'true or false') ?? false,
  };
}

/** The body of PATCH. @throws HttpError 400 */
export function parseExtension(body: string): bigint {
  return required(parseObject(body), 'timeout', isInteger(MOST_SECONDS), 'a whole number of seconds');
}

/** @throws HttpError 400  no JSON, or no object */
export function parseObject(body: string): Fields {
  let value: unknown;
  try {
    value = parse(body, null, exactNumber);
  } catch {
    throw new HttpError(400, 'The body is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpError(400, 'The body must be a JSON object');
  }
  return value as Fields;
}

/** Integers become bigint, everything with a fraction or an exponent a number. */
function exactNumber(text: string): bigint | number {
  return /^-?\d+$/.test(text) ? BigInt(text) : Number(text);
}

type Check<T> = (value: unknown) => value is T;

/** @throws HttpError 400 */
export function required<T>(fields: Fields, key: string, check: Check<T>, expected: string): T {
  const value = optional(fields, key, check, expected);
  if (value === undefined) throw new HttpError(400, `Missing value for ${key}`);
  return value;
}

/** @throws HttpError 400 */
export function optional<T>(fields: Fields, key: string, check: Check<T>, expected: string): T | undefined {
  if (!Object.hasOwn(fields, key)) return undefined;
  const value = fields[key];
  if (check(value)) return value;
  throw new HttpError(400, `Invalid value for ${key}: must be ${expected}`);
}

export const isString: Check<string> = (value): value is string => typeof value === 'string';
export const isBoolean: Check<boolean> = (value): value is boolean => typeof value === 'boolean';
const isStrings: Check<string[]> = (value): value is string[] => Array.isArray(value) && value.every(isString);

export function isInteger(most: bigint): Check<bigint> {
  return (value): value is bigint => typeof value === 'bigint' && value >= 0n && value <= most;
}
