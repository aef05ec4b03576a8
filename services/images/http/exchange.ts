/** One request and its answer, as the routes see it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ImagesContext } from '../context.js';
import type { Connection } from './connection.js';

export interface Exchange {
  readonly context: ImagesContext;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
  /** Decoded; may be empty. */
  readonly id: string;
  /** Of a repeated key the last counts. */
  readonly query: ReadonlyMap<string, string>;
}

export type Handler = (exchange: Exchange) => Promise<void> | void;

export interface Route {
  /** Over the decoded path; its first group is the id. */
  readonly path: RegExp;
  readonly methods: Readonly<Partial<Record<'GET' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS', Handler>>>;
  /** Whether web pages of other sites may use it, by which methods. */
  readonly cors?: readonly string[];
}
