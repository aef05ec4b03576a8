/** Which routes each service has. */
import { answerJson } from '../http/answer.js';
import type { Exchange, Route } from '../http/exchange.js';
import { getAlgorithms, getChecksum } from './get-checksum.js';
import { getExtents } from './get-extents.js';
import { getImage } from './get-image.js';
import { optionsImage } from './options-image.js';
import { patchImage } from './patch-image.js';
import { putImage } from './put-image.js';
import { deleteTicket, getTicket, patchTicket, putTicket } from './tickets.js';

const CORS = ['OPTIONS', 'GET', 'PUT'];

const IMAGES: readonly Route[] = [
  { path: /^\/images\/(.*)\/checksum\/algorithms$/s, methods: { GET: getAlgorithms }, cors: CORS },
  { path: /^\/images\/(.*)\/checksum$/s, methods: { GET: getChecksum }, cors: CORS },
  { path: /^\/images\/(.*)\/extents$/s, methods: { GET: getExtents }, cors: CORS },
  {
    path: /^\/images\/(.*)$/s,
    methods: { OPTIONS: optionsImage, GET: getImage, PUT: putImage, PATCH: patchImage },
    cors: CORS,
  },
];

const INFO: Route = {
  path: /^\/info\/$/,
  methods: { GET: ({ response, context }: Exchange) => answerJson(response, { version: context.version }) },
  cors: CORS,
};

const TICKETS: Route = {
  path: /^\/tickets\/(.*)$/s,
  methods: { GET: getTicket, PUT: putTicket, PATCH: patchTicket, DELETE: deleteTicket },
};

export const REMOTE: readonly Route[] = [...IMAGES, INFO];
export const LOCAL: readonly Route[] = IMAGES;
export const CONTROL: readonly Route[] = [TICKETS];
