/** Three servers that read bodies and answer 200. Arguments: path of the unix socket, certificate, key. */
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

const [path, cert, key] = process.argv.slice(2) as [string, string, string];
const discard: RequestListener = (request, response) => {
  request.on('data', () => {});
  request.on('end', () => {
    response.writeHead(200, { 'Content-Length': 0 });
    response.end();
  });
};
const plain = createServer(discard);
const tls = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, discard);
const unix = createServer(discard);
await Promise.all([
  new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve)),
  new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve)),
  new Promise<void>((resolve) => unix.listen(path, resolve)),
]);
const port = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
console.log(JSON.stringify({ plain: port(plain), tls: port(tls) }));
