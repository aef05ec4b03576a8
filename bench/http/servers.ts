/** What is measured: the data plane, a Node server that only throws bodies away, and nginx with WebDAV. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import type { Cleanup } from '../../scripts/demo/cleanup.js';
import { startFerry, startServer } from '../../scripts/demo/ferry.js';
import type { Address } from './load.js';

export type Transport = 'plain' | 'tls' | 'unix';

export interface Server {
  readonly name: string;
  readonly addresses: Readonly<Record<Transport, Address>>;
  /** Where a body goes; `{n}` stands for the connection. */
  readonly path: string;
  /** Whether it knows ranges, and zeroing. */
  readonly ranges: boolean;
}

export interface Place {
  readonly directory: string;
  readonly cleanup: Cleanup;
  readonly signal: AbortSignal;
  readonly certificate: { readonly cert: string; readonly key: string };
}

export function makeCertificate(directory: string): Place['certificate'] {
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const subject = ['-subj', '/CN=localhost', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  });
  return { cert, key };
}

/** Two of them, one with TLS, over the same storage. @param image  a file of `bytes` in `storage` */
export async function startImageferry(place: Place, storage: string, image: string, bytes: number): Promise<Server> {
  const { directory, cleanup, signal, certificate } = place;
  const ticket = 'bench';
  const start = async (name: string, env: Record<string, string>) => {
    const data = join(directory, name);
    const sockets = { FERRY_LOCAL_SOCKET: join(data, 'images.sock'), FERRY_CONTROL_SOCKET: join(data, 'control.sock') };
    const flags = ['--port', '0', '--data-dir', data, '--storage-roots', storage];
    const all = { FERRY_IMAGES_PORT: '0', FERRY_IMAGES_HOST: '127.0.0.1', ...sockets, ...env };
    const { ready } = await startFerry(['serve', ...flags], cleanup, signal, all);
    await addTicket(sockets.FERRY_CONTROL_SOCKET, {
      uuid: ticket,
      size: bytes,
      ops: ['write'],
      timeout: 3600,
      url: `file://${image}`,
    });
    return { port: (ready as { images: { port: number } }).images.port, socket: sockets.FERRY_LOCAL_SOCKET };
  };
  const plain = await start('plain', {});
  const tls = await start('tls', { FERRY_TLS_CERT: certificate.cert, FERRY_TLS_KEY: certificate.key });
  return {
    name: 'imageferry',
    addresses: {
      plain: { type: 'tcp', port: plain.port },
      tls: { type: 'tls', port: tls.port },
      unix: { type: 'unix', path: plain.socket },
    },
    path: `/images/${ticket}?flush=n`,
    ranges: true,
  };
}

async function addTicket(socketPath: string, ticket: { readonly uuid: string; readonly [key: string]: unknown }) {
  await new Promise<void>((resolve, reject) => {
    const body = JSON.stringify(ticket);
    const headers = { 'Content-Length': body.length };
    const asked = request({ socketPath, method: 'PUT', path: `/tickets/${ticket.uuid}`, headers }, (answer) => {
      answer.resume();
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`the ticket was refused: ${answer.statusCode}`));
    });
    asked.once('error', reject);
    asked.end(body);
  });
}

/** Node's own server, which reads bodies and forgets them: what the runtime can do at most. */
export async function startDiscard({ directory, cleanup, signal, certificate }: Place): Promise<Server> {
  const path = join(directory, 'discard.sock');
  const script = new URL('./discard.js', import.meta.url).pathname;
  const command = [process.execPath, script, path, certificate.cert, certificate.key];
  let ports = { plain: 0, tls: 0 };
  const understand = (line: string) => {
    ports = JSON.parse(line) as typeof ports;
    return {};
  };
  await startServer({ name: 'discard', command, understand }, cleanup, signal);
  return {
    name: 'Node, discarding',
    addresses: {
      plain: { type: 'tcp', port: ports.plain },
      tls: { type: 'tls', port: ports.tls },
      unix: { type: 'unix', path },
    },
    path: '/',
    ranges: false,
  };
}

/** nginx stores each body as a file through the page cache, and knows neither ranges nor zeroing. */
export async function startNginx(
  place: Place,
  storage: string,
  ports: { plain: number; tls: number },
): Promise<Server> {
  const { directory, cleanup, signal, certificate } = place;
  const home = join(directory, 'nginx');
  const socket = join(home, 'nginx.sock');
  for (const name of [home, join(storage, 'temp'), join(storage, 'dav')]) mkdirSync(name, { recursive: true });
  const config = join(home, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; user root; worker_processes 2; pid ${home}/pid; error_log ${home}/error.log;
events { worker_connections 256; }
http {
  access_log off; client_max_body_size 0; client_body_temp_path ${storage}/temp; keepalive_requests 1000000;
  client_body_buffer_size 1m;
  server {
    listen 127.0.0.1:${ports.plain}; listen unix:${socket}; listen 127.0.0.1:${ports.tls} ssl;
    ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key};
    location / { root ${storage}; dav_methods PUT DELETE; create_full_put_path on; }
  }
}
`,
  );
  const shell = `/usr/sbin/nginx -c ${config} -e ${home}/error.log & child=$!; trap "kill $child" TERM; for i in $(seq 100); do [ -S ${socket} ] && break; sleep 0.1; done; echo ready; wait`;
  await startServer({ name: 'nginx', command: ['sh', '-c', shell], understand: () => ({}) }, cleanup, signal);
  return {
    name: 'nginx WebDAV',
    addresses: {
      plain: { type: 'tcp', port: ports.plain },
      tls: { type: 'tls', port: ports.tls },
      unix: { type: 'unix', path: socket },
    },
    path: '/dav/body-{n}',
    ranges: false,
  };
}
