/** What requests of several routes have in common. */
import type { Exchange } from '../http/exchange.js';
import { HttpError } from '../http/http-error.js';

/** @throws HttpError 400 */
export function needId({ id }: Pick<Exchange, 'id'>): string {
  if (id === '') throw new HttpError(400, 'A ticket id is required');
  return id;
}

/** A key of the query that is y or n; null: it is not there. @throws HttpError 400 */
export function wish(query: Exchange['query'], key: string): boolean | null {
  const value = query.get(key);
  if (value === undefined) return null;
  if (value !== 'y' && value !== 'n') throw new HttpError(400, `Invalid value for ${key}: must be y or n`);
  return value === 'y';
}

export function closeHeader(close: boolean): Record<string, string> {
  return close ? { Connection: 'close' } : {};
}
