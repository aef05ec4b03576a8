/**
 * `Range` and `Content-Range` as the imageio protocol takes them, which is less than HTTP allows: one range, no suffix.
 * Positions may be as large as a ticket's size, past what a number holds exactly.
 */
import type { Range } from '../../../shared/units.js';
import { HttpError, unsatisfiable } from '../http/http-error.js';

export interface AskedRange {
  readonly first: bigint;
  /** null: to the end. */
  readonly last: bigint | null;
}

/** @throws HttpError 416  it is anything but `bytes=FIRST-` or `bytes=FIRST-LAST` */
export function parseRange(header: string, size: bigint): AskedRange {
  const match = /^bytes=(\d{1,20})-(\d{1,20})?$/.exec(header.trim());
  if (match === null) throw unsatisfiable(`Unsupported range: ${JSON.stringify(header)}`, size);
  const first = BigInt(match[1] as string);
  const last = match[2] === undefined ? null : BigInt(match[2]);
  if (last !== null && first > last) throw unsatisfiable(`Invalid range: ${JSON.stringify(header)}`, size);
  return { first, last };
}

/** @returns FIRST: the length of a body is what Content-Length says. @throws HttpError 400 */
export function parseContentRange(header: string): bigint {
  const match = /^bytes (\d{1,20})-(\d{1,20}|\*)\/(\d{1,20}|\*)$/.exec(header.trim());
  if (match === null) throw new HttpError(400, `Invalid Content-Range: ${JSON.stringify(header)}`);
  const [first, last, size] = match.slice(1).map((text) => (text === '*' ? null : BigInt(text)));
  if (last != null && last < (first as bigint)) throw new HttpError(400, 'Invalid Content-Range: last before first');
  if (last != null && size != null && last >= size)
    throw new HttpError(400, 'Invalid Content-Range: last past the size');
  return first as bigint;
}

/** Where images end at the latest, whatever a ticket says: short of where numbers are no longer exact. */
const MOST_BYTES = 2n ** 53n - 2n ** 30n;

/**
 * A range that is to be written, as numbers.
 * @param size  of the ticket
 * @throws HttpError 416  past its end, or past what any image has
 */
export function writableRange(start: bigint, length: bigint, size: bigint): Range {
  const end = start + length;
  if (end > size) throw unsatisfiable(`Range ${start} to ${end} is past the end of the image`, size);
  if (end > MOST_BYTES) throw unsatisfiable(`Range ${start} to ${end} is past what an image can hold`, size);
  return { start: Number(start), length: Number(length) };
}
