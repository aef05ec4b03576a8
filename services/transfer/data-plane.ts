/**
 * What a node's data plane does for jobs whose other end is a client (`services/images` has it; the two services do
 * not know each other). Sizes are bytes.
 */
import type { FerryError } from '../../shared/errors.js';
import type { ClientOffer, FinalizeRequest } from '../../shared/schemas/job.js';
import type { Allocation } from '../../shared/zero-methods.js';
import type { Handle } from '../../workers/storage/handle.js';

export interface DataPlane {
  /** Makes a ticket for storage that the caller has opened, and closes after `revoke`. @throws FerryError INTERRUPTED */
  offer(request: OfferRequest): Offer;
}

export interface OfferRequest {
  readonly storage: Handle;
  readonly op: 'read' | 'write';
  /** Of the image that the client sees. */
  readonly size: number;
  /** Of the job. */
  readonly transferId: string;
  /** `sparse`: zero requests may give space back. */
  readonly allocation: Allocation;
  /** Of the job: every call that changes something asks it. */
  readonly control: SharedArrayBuffer;
}

export interface Offer extends ClientOffer {
  /** What was written or zeroed well, packed start, length, …; a copy. */
  written(): number[];
  /** Distinct bytes moved, running operations included. */
  readonly transferredBytes: number;
  /** 0 while an operation runs, else ms since the last one or the offer. */
  readonly idleMs: number;
  /** Of a flush that a client asked for: what was written may be lost, although a later flush succeeds. */
  readonly failure: FerryError | null;
  /** No new operation starts; resolves when running ones have ended. Then the ticket is gone. */
  revoke(): Promise<void>;
}

/** What an attempt knows of its job's client. */
export interface ClientSide {
  readonly job: string;
  readonly plane: DataPlane;
  readonly timeoutMs: number;
  /** What the client said when it was done; null: it has not. */
  said(): FinalizeRequest | null;
  /** It must go on: what it had sent is not all durable. */
  forget(): Promise<void>;
}
