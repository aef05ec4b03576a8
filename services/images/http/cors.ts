/** Web pages of other sites may use the data plane: a ticket is the right, not the page that it comes from. */
import type { IncomingMessage } from 'node:http';
import type { Route } from './exchange.js';

const MAX_AGE_SECONDS = '86400';

/** @returns headers of the answer, an error's too; none when the request asks for none */
export function corsHeaders({ cors }: Route, { method = '', headers }: IncomingMessage): [string, string][] {
  if (cors === undefined || !cors.includes(method)) return [];
  const answers: [string, string][] = [];
  if (headers.origin !== undefined) answers.push(['Access-Control-Allow-Origin', '*']);
  if (headers['access-control-request-headers'] !== undefined) answers.push(['Access-Control-Allow-Headers', '*']);
  if (headers['access-control-request-method'] !== undefined) {
    answers.push(['Access-Control-Allow-Methods', method === 'OPTIONS' ? 'OPTIONS,GET,PUT' : '*']);
  }
  if (answers.length > 0) answers.push(['Access-Control-Max-Age', MAX_AGE_SECONDS]);
  return answers;
}
