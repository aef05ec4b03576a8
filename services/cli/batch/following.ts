/** `ferry batch … --follow`: shows a batch until it ends. */
import type { BatchView } from '../../../shared/schemas/batch.js';
import type { ApiClient } from '../api-client.js';
import type { Context, Screen } from '../context.js';
import { type Display, JsonDisplay } from '../display.js';
import { type FollowOptions, followAndReport } from '../following.js';
import { BarsDisplay } from './display-bars.js';
import { BatchLineDisplay } from './display-lines.js';
import { failureLines } from './report.js';
import { sumBatch } from './summary.js';

/** An answer names every disk: the larger the batch, the less often we ask. */
const REST_MS_PER_DISK = 1;

/** @returns the exit code: of the batch's end, or of the signal that ended the watching */
export async function followBatch(
  context: Context,
  client: ApiClient,
  id: string,
  { json, answered }: FollowOptions,
): Promise<number> {
  return await followAndReport(context, {
    answered,
    ask: (etag, waitSeconds) => client.batches.batchAfter(id, etag, waitSeconds),
    display: batchDisplay(context.screen, json),
    goesOn: `the batch goes on. Follow it with "ferry batch status ${id} --follow", stop it with "ferry batch cancel ${id}"`,
    explainEnd: failureLines,
    restMs: (batch) => sumBatch(batch).disks * REST_MS_PER_DISK,
  });
}

function batchDisplay(screen: Screen, json: boolean): Display<BatchView> {
  if (json) return new JsonDisplay(screen);
  return screen.terminal ? new BarsDisplay(screen) : new BatchLineDisplay(screen);
}
