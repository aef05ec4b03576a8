/** What every answer of the data plane has in common. */
import { expect } from 'chai';
import type { RawConnection, RawResponse } from '../../helpers/raw-http.js';

/** Plain text, one sentence, a newline, and its exact length. */
export function expectError(answer: RawResponse, status: number): void {
  const text = answer.text();
  expect(answer.status, text).to.equal(status);
  expect(answer.header('content-type')).to.equal('text/plain; charset=UTF-8');
  expect(answer.header('content-length')).to.equal(String(answer.body.length));
  expect(text).to.match(/^[^\n]+\n$/);
}

export function expectJson(answer: RawResponse): unknown {
  expect(answer.status, answer.text()).to.equal(200);
  expect(answer.header('content-type')).to.equal('application/json');
  expect(answer.text()).to.match(/\n$/);
  return answer.json();
}

export function expectEmpty(answer: RawResponse, status = 200): void {
  expect(answer.status, answer.text()).to.equal(status);
  expect(answer.header('content-length')).to.equal('0');
}

/** The ticket does not allow it: 403, and nothing more is taken on this connection. */
export async function expectForbidden(connection: RawConnection, answer: RawResponse): Promise<void> {
  expectError(answer, 403);
  await expectClosing(connection, answer);
}

export async function expectClosing(connection: RawConnection, answer: RawResponse): Promise<void> {
  expect(answer.header('connection')?.toLowerCase()).to.equal('close');
  expect((await connection.closed()).length, 'bytes after the answer').to.equal(0);
}

export const json = (value: unknown): string => JSON.stringify(value);
