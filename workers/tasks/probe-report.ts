/** What is asked of a probe, and what it finds. Sizes are bytes. */
import type { NbdAddress } from '../../shared/nbd-uri.js';
import type { Allocation, ZeroMethod } from '../../shared/zero-methods.js';
import type { StorageKind } from '../storage/handle.js';

export type ProbeRequest = ({ readonly path: string } | { readonly nbd: NbdAddress }) & {
  /** The first 64 MiB of a block device or an export may be destroyed. */
  readonly overwrite: boolean;
};

export interface MethodProbe {
  readonly allocation: Allocation;
  readonly method: ZeroMethod;
  /** null: not tried, since that would destroy data. */
  readonly supported: boolean | null;
  readonly bytesPerSecond: number | null;
}

export interface ProbeReport {
  /** Of NBD: the URI. */
  readonly path: string;
  readonly kind: StorageKind | 'directory';
  /** null for a directory. */
  readonly size: number | null;
  readonly sectorSize: number;
  /** null where it has no meaning. */
  readonly physicalSectorSize: number | null;
  readonly directIo: boolean;
  readonly directRefusal: string | null;
  /** Whether holes can be told from data (SEEK_HOLE, base:allocation). */
  readonly extents: boolean;
  /** Of a block device or an NBD server: whether it says that it zeroes without writing. null: not known. */
  readonly offloadsZero: boolean | null;
  readonly writeBytesPerSecond: number | null;
  readonly methods: readonly MethodProbe[];
  /** What was tried on, in words. */
  readonly triedOn: string;
}
