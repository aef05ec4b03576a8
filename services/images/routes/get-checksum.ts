/** GET /images/{id}/checksum: the hash of the digests of the image's blocks; and which algorithms there are. */
import { KiB, MiB } from '../../../shared/units.js';
import { checkAlgorithm, hashAlgorithms } from '../../../workers/hashes.js';
import { imageChecksum } from '../../../workers/image-checksum.js';
import { answerJson } from '../http/answer.js';
import type { Exchange } from '../http/exchange.js';
import { HttpError } from '../http/http-error.js';
import { needId } from './asked.js';

const DEFAULT_BLOCK = 4 * MiB;
const LEAST = MiB;
const MOST = 16 * MiB;
const UNIT = 4 * KiB;

export async function getChecksum(exchange: Exchange): Promise<void> {
  const { context, response, connection, query } = exchange;
  const { tickets, workers } = context;
  const id = needId(exchange);
  const algorithm = query.get('algorithm') ?? 'blake2b';
  checkAlgorithm(algorithm);
  const blockSize = parseBlockSize(query.get('block_size'));
  const ticket = tickets.authorized(id, 'read');
  const operation = ticket.begin('read', connection);
  try {
    const image = await connection.image(ticket);
    const { handle } = image;
    const control = ticket.control.memory;
    const checksum = await connection.waiting(
      (async () => {
        const size = await image.size();
        const data = await workers.run('imageExtents', { handle, size, control });
        return await imageChecksum(workers, { handle, size, algorithm, blockSize, data, control });
      })(),
    );
    ticket.touch();
    answerJson(response, { algorithm, block_size: blockSize, checksum });
  } finally {
    operation.end();
  }
}

export function getAlgorithms({ response }: Exchange): void {
  answerJson(response, { algorithms: hashAlgorithms() });
}

/** @throws HttpError 400 */
function parseBlockSize(text: string | undefined): number {
  if (text === undefined) return DEFAULT_BLOCK;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value >= LEAST && value <= MOST && value % UNIT === 0) return value;
  throw new HttpError(400, `Invalid value for block_size: must be a multiple of ${UNIT} from ${LEAST} to ${MOST}`);
}
