/** What the routes of the data plane are given. */
import type { Log } from '../../shared/log.js';
import type { Workers } from '../../workers/pool.js';
import type { ImageBuffers } from './data/image-buffers.js';
import type { TicketStore } from './tickets/ticket-store.js';

export interface ImagesContext {
  readonly log: Log;
  readonly version: string;
  readonly workers: Workers;
  readonly buffers: ImageBuffers;
  readonly tickets: TicketStore;
  /** Of one ticket, as clients are told. */
  readonly maxConnections: number;
  /** Of the local service, as clients are told; null: it does not run. */
  readonly localSocket: string | null;
  readonly inactivityTimeoutSeconds: number;
  readonly removeTimeoutSeconds: number;
}
