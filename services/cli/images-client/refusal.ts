/** What the data plane answers when it does not do what it was asked, as an error with its own words. */
import { type ErrorCode, FerryError } from '../../../shared/errors.js';
import type { HttpAnswer } from './connection.js';

const CODES: Readonly<Record<number, ErrorCode>> = {
  403: 'TICKET_REFUSED',
  404: 'NOT_FOUND',
  405: 'NOT_SUPPORTED',
  416: 'RANGE_OUTSIDE_TARGET',
};
/** A proxy, or another program on that port, may answer with pages. */
const LONGEST = 500;

export function refusal({ status, text }: HttpAnswer, what: string): FerryError {
  const code = CODES[status] ?? (status < 500 ? 'BAD_REQUEST' : 'INTERNAL');
  const said = text.trim().slice(0, LONGEST);
  return new FerryError(code, `${what} was refused (${status})${said === '' ? '' : `: ${said}`}`, { status });
}
