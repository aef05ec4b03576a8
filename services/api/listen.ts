/** Servers that listen where the configuration says, and that close with every answer given. */
import type { Server } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import { FerryError } from '../../shared/errors.js';

const CLOSE_PATIENCE_MS = 5000;

/**
 * @param variables  what to name when that is not possible
 * @returns          such as `http://127.0.0.1:8080`, with the port that was found when 0 was asked for
 * @throws FerryError CONFIG_INVALID  the address cannot be listened on
 */
export async function listen(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
  variables: string,
): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = `${variables}: cannot listen on ${host} port ${port}: ${cause.code}`;
      reject(new FerryError('CONFIG_INVALID', why, { errno: cause.errno, syscall: cause.syscall }, { cause }));
    });
    server.listen(port, host, resolve);
  });
  const { port: found } = server.address() as AddressInfo;
  return `http://${isIPv6(host) ? `[${host}]` : host}:${found}`;
}

/** Answers what is under way, then closes; after 5 s whatever is still open is cut. */
export async function closeServer(server: Server): Promise<void> {
  const done = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection that has just had its last answer is idle only now; nobody else would close it.
  const sweep = setInterval(() => server.closeIdleConnections(), 20);
  const force = setTimeout(() => server.closeAllConnections(), CLOSE_PATIENCE_MS);
  await done;
  clearInterval(sweep);
  clearTimeout(force);
}
