/**
 * Images behind an NBD server: opening, and every kind of access, in requests as long as the server takes them.
 * All calls block the thread, each for a limited time. Positions and lengths are bytes.
 */
import { FerryError } from '../../shared/errors.js';
import { alignDown, alignUp, end, MiB, type Range } from '../../shared/units.js';
import type { NativeIo, NbdFacts } from '../native/index.js';
import { guard, isNativeError, storageError } from './errors.js';
import { createShared, type NbdAccess, type NbdSource, type NbdTarget } from './handle.js';
import { copyBuffer } from './scratch.js';

/** Longer than a server needs for 1 GiB of zeroes on a slow disk, shorter than anybody waits. */
const TIMEOUT_MS = 60_000;
const MOST_CONNECTIONS = 4;
/** What servers that say nothing about it are sure to take. */
const LONGEST_TRANSFER = 32 * MiB;
/** The protocol's lengths are 32 bits; servers that have to write zeroes must answer in time. */
const LONGEST_ZERO = 1024 * MiB;
const LONGEST_STATUS = 2048 * MiB;
/**
 * Holes begin and end where qcow2's clusters do, however large they may be. QEMU (7.2 at least) frees a cluster that reads as zeroes when a part of
 * it is zeroed, even while another request writes to the rest of it: what is allocated next then lies on top of it.
 */
const HOLE_UNIT = 2 * MiB;
/** Words of `turns`: how often a connection was given back, then for each connection whether it is in use. */
const RELEASED = 0;
const BUSY = 1;
export const ALLOCATION_CONTEXT = 'base:allocation';
const DIRTY = 'qemu:dirty-bitmap:';

/** Flags of `base:allocation`. */
export const HOLE = 1;
export const ZERO = 2;

/** @throws FerryError STORAGE_GONE, STORAGE_IO, SOURCE_EMPTY */
export function openNbdSource(io: NativeIo, uri: string): NbdSource {
  const { facts, connections } = connect(io, uri, false);
  return { ...access(facts, connections), path: uri, size: facts.size, identity: identify(uri, facts.size) };
}

/** @throws FerryError STORAGE_DENIED (a read-only export), STORAGE_GONE, STORAGE_IO */
export function openNbdTarget(io: NativeIo, uri: string, readsZero: boolean): NbdTarget {
  const { facts, connections } = connect(io, uri, true);
  return {
    ...access(facts, connections),
    path: uri,
    size: facts.size,
    sectorSize: Math.max(1, facts.minimumBlock),
    zeroWrites: !facts.canZero,
    directRefusal: null,
    created: false,
    readsZero,
    identity: identify(uri, facts.size),
    shared: createShared(),
    canZero: facts.canZero,
    canFastZero: facts.canFastZero,
    canFlush: facts.canFlush,
  };
}

function connect(io: NativeIo, uri: string, write: boolean): { facts: NbdFacts; connections: number[] } {
  const one = () => guard(uri, 'connect to', () => io.nbdConnect(uri, [ALLOCATION_CONTEXT, DIRTY], TIMEOUT_MS));
  const facts = one();
  const connections = [facts.id];
  try {
    if (write && facts.readOnly) throw new FerryError('STORAGE_DENIED', `${uri} is exported read-only`, { path: uri });
    // Only a server that says so shows on one connection what was flushed on another.
    while (facts.canMultiConn && connections.length < MOST_CONNECTIONS) connections.push(one().id);
    return { facts, connections };
  } catch (thrown) {
    for (const id of connections) io.nbdClose(id);
    throw thrown;
  }
}

function access(facts: NbdFacts, connections: readonly number[]): NbdAccess {
  const { minimumBlock, maximumBlock, contexts } = facts;
  const longest = maximumBlock === 0 ? LONGEST_TRANSFER : Math.min(maximumBlock, LONGEST_TRANSFER);
  const unit = Math.max(1, minimumBlock);
  return {
    kind: 'nbd',
    connections,
    turns: new SharedArrayBuffer((BUSY + connections.length) * 4),
    minimumBlock: unit,
    longestTransfer: alignDown(longest, unit),
    contexts,
  };
}

function identify(uri: string, size: number): NbdSource['identity'] {
  return { id: `nbd:${uri}`, size, modified: null, changed: null };
}

/**
 * Makes one request on a connection that nobody uses; where there is none, waits for the first to be free: a thread that
 * stood in line for one of them could wait for a long zero while others are idle.
 */
function onConnection<T>({ connections, turns }: NbdAccess, call: (connection: number) => T): T {
  const words = new Int32Array(turns);
  for (;;) {
    const released = Atomics.load(words, RELEASED);
    for (const [slot, connection] of connections.entries()) {
      if (Atomics.compareExchange(words, BUSY + slot, 0, 1) !== 0) continue;
      try {
        return call(connection);
      } finally {
        Atomics.store(words, BUSY + slot, 0);
        Atomics.add(words, RELEASED, 1);
        Atomics.notify(words, RELEASED, 1);
      }
    }
    Atomics.wait(words, RELEASED, released);
  }
}

type Place = NbdAccess & { readonly path: string; readonly size: number };

/** Reads any range. @returns bytes read; fewer than asked for only at the end */
export function readNbd(
  io: NativeIo,
  from: Place,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  const stop = Math.min(position + length, from.size);
  const unit = from.minimumBlock;
  let at = position;
  while (at < stop) {
    const aligned = at % unit === 0;
    const whole = alignDown(stop, unit) - at;
    if (aligned && whole > 0) {
      const part = Math.min(whole, from.longestTransfer);
      request(from, 'read', (id) => io.nbdRead(id, buffer, offset + (at - position), part, at));
      at += part;
      continue;
    }
    // A part of a block: the server gives only whole ones.
    const room = copyBuffer(io);
    const start = alignDown(at, unit);
    const blockEnd = Math.min(start + unit, from.size);
    request(from, 'read', (id) => io.nbdRead(id, room, 0, blockEnd - start, start));
    const part = Math.min(stop, blockEnd) - at;
    buffer.set(room.subarray(at - start, at - start + part), offset + (at - position));
    at += part;
  }
  return Math.max(0, stop - position);
}

/** Writes whole blocks. */
export function writeNbd(
  io: NativeIo,
  target: NbdTarget,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): void {
  if (position + length > target.size) {
    throw new FerryError('STORAGE_FULL', `${target.path} ends before the range that is to be written`, {
      path: target.path,
    });
  }
  for (let done = 0; done < length; ) {
    const part = Math.min(length - done, target.longestTransfer);
    const from = offset + done;
    const at = position + done;
    request(target, 'write', (id) => io.nbdWrite(id, buffer, from, part, at));
    done += part;
  }
}

/** Zeroes whole blocks. @throws NativeError  as the ladder wants it: what is not supported moves it one step down */
export function zeroNbd(io: NativeIo, target: NbdTarget, range: Range, noHole: boolean): void {
  const holeStart = noHole ? end(range) : Math.min(alignUp(range.start, HOLE_UNIT), end(range));
  const holeEnd = Math.max(holeStart, end(range) === target.size ? target.size : alignDown(end(range), HOLE_UNIT));
  zeroPart(io, target, range.start, holeStart, true);
  zeroPart(io, target, holeStart, holeEnd, false);
  zeroPart(io, target, holeEnd, end(range), true);
}

/**
 * Zeroes a range if the server can do that without writing.
 * @returns false: it cannot, and nothing has changed; null: it does not tell
 */
export function zeroesFast(io: NativeIo, target: NbdTarget, range: Range): boolean | null {
  if (!target.canZero) return false;
  if (!target.canFastZero) return null;
  try {
    onConnection(target, (id) => io.nbdZero(id, range.start, range.length, false, true));
    return true;
  } catch (thrown) {
    if (isNativeError(thrown) && ['EOPNOTSUPP', 'ENOTSUP'].includes(thrown.code)) return false;
    throw storageError(thrown, target.path, 'zero');
  }
}

function zeroPart(io: NativeIo, target: NbdTarget, start: number, stop: number, noHole: boolean): void {
  for (let at = start; at < stop; at += LONGEST_ZERO) {
    const length = Math.min(LONGEST_ZERO, stop - at);
    onConnection(target, (id) => io.nbdZero(id, at, length, noHole, false));
  }
}

/**
 * What the server says of [0, size) in one context, from the beginning without a gap.
 * @returns length, flags, length, flags, …; null where the export does not have the context
 */
export function blockStatus(
  io: NativeIo,
  from: Place,
  size: number,
  context: string,
  check: () => void,
): Float64Array | null {
  if (!from.contexts.includes(context)) return null;
  const pairs: number[] = [];
  let at = 0;
  while (at < size) {
    check();
    const length = Math.min(alignUp(size - at, from.minimumBlock), LONGEST_STATUS);
    const found = request(from, 'list the extents of', (id) =>
      io.nbdBlockStatus(id, at, Math.min(length, from.size - at), context),
    );
    const before = at;
    for (let i = 0; i + 1 < found.length && at < size; i += 2) {
      const part = Math.min(found[i] as number, size - at);
      const flags = found[i + 1] as number;
      // One answer ends where another begins: what is the same goes on.
      if (pairs.length > 0 && pairs[pairs.length - 1] === flags)
        pairs[pairs.length - 2] = (pairs.at(-2) as number) + part;
      else pairs.push(part, flags);
      at += part;
    }
    if (at === before)
      throw new FerryError('STORAGE_IO', `${from.path}: its server names no extents at ${at}`, { path: from.path });
  }
  return Float64Array.from(pairs);
}

/** The first dirty bitmap that the export offers; null: none. */
export function dirtyContext({ contexts }: NbdAccess): string | null {
  return contexts.find((name) => name.startsWith(DIRTY)) ?? null;
}

/** On one connection: a server with several promises that it covers what was written on the others. */
export function flushNbd(io: NativeIo, target: NbdTarget): void {
  if (target.canFlush) onConnection(target, (id) => io.nbdFlush(id));
}

export function closeNbd(io: NativeIo, { connections }: NbdAccess): void {
  for (const id of connections) io.nbdClose(id);
}

function request<T>(place: Place, doing: string, call: (connection: number) => T): T {
  return guard(place.path, doing, () => onConnection(place, call));
}
