/**
 * Our one control connection to the embedded server: it notices when the server goes, sees whether
 * others are connected, and tells the server to shut down.
 * Every connection of ours bears a name that begins with `ferry-` (`shared/queue/connection.ts`).
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';

// By require() as in shared/queue/bullmq.ts.
import ioredis = require('ioredis');

const OURS = 'ferry-';
const LEAVING = `${OURS}leaving`;
/** How long connections that we closed just now may still be listed. */
const LINGER_MS = 500;

export class ServerWatch {
  private constructor(private readonly redis: Redis) {}

  /** @throws Error when the server cannot be reached; it is tried once */
  static async open(socketPath: string, onGone: () => void): Promise<ServerWatch> {
    const redis = new ioredis.Redis({
      path: socketPath,
      lazyConnect: true,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
      connectionName: `${OURS}keeper@${hostname()}-${process.pid}`,
    });
    // Without a listener a lost connection would be an uncaught error; `end` below is what we act on.
    redis.on('error', () => {});
    await redis.connect();
    redis.once('end', onGone);
    return new ServerWatch(redis);
  }

  /**
   * Says that this process is going, then looks who stays. Two that leave at once each see the other
   * leaving, so that the last one never leaves the server behind.
   * Call it when all other connections of this process are closed: what is left belongs to others.
   * @returns the names of their connections
   */
  async othersWhenLeaving(): Promise<string[]> {
    await this.redis.client('SETNAME', LEAVING);
    const deadline = Date.now() + LINGER_MS;
    for (;;) {
      const list = String(await this.redis.client('LIST'));
      const names = [...list.matchAll(/ name=(\S+)/g)].map((match) => String(match[1]));
      const others = names.filter((name) => name.startsWith(OURS) && name !== LEAVING);
      if (others.length === 0 || Date.now() > deadline) return others;
      await sleep(50);
    }
  }

  /**
   * Saves the append-only file and ends the server.
   * @throws Error when the server refuses, because it cannot save
   */
  async shutdown(): Promise<void> {
    await this.redis.shutdown().catch((cause: Error) => {
      // A server that obeys closes the connection instead of answering.
      if (!/connection is closed|ECONNRESET|EPIPE/i.test(cause.message)) throw cause;
    });
  }

  close(): void {
    this.redis.removeAllListeners('end');
    this.redis.disconnect();
  }
}
