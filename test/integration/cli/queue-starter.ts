/** A program for tests: starts the embedded queue in argv[2], says so on stdout, and stops it on SIGTERM. */
import { startEmbeddedRedis } from '../../../services/cli/embedded-redis.js';
import { createLog } from '../../../shared/log.js';

const redis = await startEmbeddedRedis(String(process.argv[2]), createLog('info'));
// The watch connection alone does not say that this program wants to live.
const alive = setInterval(() => {}, 1000);
process.once('SIGTERM', () => {
  void redis.stop().then(() => clearInterval(alive));
});
// Last: whoever reads it may send the signal at once.
process.stdout.write(`${JSON.stringify({ url: redis.url, adopted: redis.adopted })}\n`);
