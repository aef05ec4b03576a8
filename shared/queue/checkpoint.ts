/**
 * What of a job is known durable, so that its next attempt goes on instead of starting again. Small whatever the
 * size of the image: what is settled is a few ranges, since steps run in order.
 * A checkpoint never claims more than a flush confirmed.
 */
import type { Plan } from '../schemas/job.js';

/** Tells a piece of storage, and its content, from what may have taken its place since. */
export interface Fingerprint {
  /** Device and inode, or the device's own name. */
  readonly id: string;
  /** What all nodes of a pool call it. */
  readonly name: string;
  readonly size: number;
  /** Moves with every write; null where it is not known: our own last writes came after the checkpoint. */
  readonly generation: string | null;
}

export interface Checkpoint {
  /** Another version is not understood: then the job starts again. */
  readonly version: 1;
  /** null for a zero job. */
  readonly source: Fingerprint | null;
  readonly target: Fingerprint;
  /** Digest of everything that the ranges below refer to: extents, sizes, options. */
  readonly layout: string;
  /** The plan is kept: what was proven of the target at the start cannot be asked again. */
  readonly plan: Pick<Plan, 'strategy' | 'proof' | 'reason'>;
  /** Ranges (start, length, start, length, …) in which everything that is to be zeroed is zeroed. */
  readonly zeroed: readonly number[];
  /** Ranges in which all data of the source is on the target. */
  readonly copied: readonly number[];
  /** Of an upload by a client: it has said that it has sent all, and `copied` is all of that. */
  readonly complete?: true;
}
