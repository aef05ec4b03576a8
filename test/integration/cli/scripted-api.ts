/** An HTTP server that answers what a test tells it to: for answers that a healthy API gives rarely. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

export type Script = (seen: Seen, response: ServerResponse) => void;

export interface ScriptedApi {
  readonly url: string;
  readonly seen: Seen[];
  close(): Promise<void>;
}

export async function scriptedApi(script: Script): Promise<ScriptedApi> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const entry = {
      method: String(request.method),
      path: String(request.url),
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    seen.push(entry);
    script(entry, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function answer(response: ServerResponse, status: number, body?: unknown, etag = '"1"'): void {
  response.writeHead(status, { 'content-type': 'application/json', etag });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

export function problem(
  response: ServerResponse,
  status: number,
  code: string,
  detail: string,
  errors?: readonly { readonly field: string; readonly message: string }[],
): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  const type = `urn:imageferry:error:${code}`;
  response.end(JSON.stringify({ type, title: code, status, detail, code, instance: '/', errors }));
}
