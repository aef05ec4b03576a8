/**
 * Asks a redis-server on a unix socket whether it is ready, with one connection and one PING.
 * A plain socket and not ioredis: what is wanted here is the first answer, without reconnects or queues.
 */
import { createConnection } from 'node:net';

/** `loading`: it reads its append-only file and will be ready later. */
export type ServerState = 'ready' | 'loading' | 'absent';

export function ping(socketPath: string, timeoutMs = 2000): Promise<ServerState> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: socketPath });
    let answer = '';
    const settle = (state: ServerState) => {
      socket.destroy();
      resolve(state);
    };
    socket.setTimeout(timeoutMs, () => settle('absent'));
    socket.on('error', () => settle('absent'));
    socket.on('close', () => settle('absent'));
    socket.on('connect', () => socket.write('PING\r\n'));
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (!answer.includes('\r\n')) return;
      settle(answer.startsWith('+PONG') ? 'ready' : answer.startsWith('-LOADING') ? 'loading' : 'absent');
    });
  });
}
