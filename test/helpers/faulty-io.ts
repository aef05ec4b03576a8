/**
 * The native module with faults: a real `NativeIo` whose named calls fail on a trigger, and a record of
 * every call. What is not made to fail reaches the kernel.
 * `const faulty = new FaultyIo(); faulty.refuse('fallocate', 'EOPNOTSUPP', mode(PUNCH_HOLE));` then use `faulty.io`.
 */
import { constants } from 'node:os';
import { loadNative, type NativeError, type NativeIo } from '../../workers/native/index.js';

export type CallName = Exclude<keyof NativeIo, 'constants'>;
type Args<N extends CallName> = Parameters<NativeIo[N]>;

export interface Call {
  readonly name: CallName;
  readonly args: readonly unknown[];
  /** errno name that the call was made to fail with; null: it went to the kernel. */
  readonly refused: string | null;
}

interface Fault {
  readonly name: CallName;
  readonly code: string;
  readonly when: (args: readonly unknown[]) => boolean;
}

export class FaultyIo {
  readonly io: NativeIo;
  readonly calls: Call[] = [];
  readonly #faults: Fault[] = [];
  readonly #before: { readonly name: CallName; readonly action: (args: readonly unknown[]) => void }[] = [];

  constructor(private readonly real: NativeIo = loadNative()) {
    this.io = new Proxy(real, {
      get: (_target, name) => (name === 'constants' ? real.constants : this.#wrap(name as CallName)),
    });
  }

  /** From now on the call fails with that errno, always or when its arguments say so. */
  refuse<N extends CallName>(name: N, code: string, when: (...args: Args<N>) => boolean = () => true): this {
    this.#faults.push({ name, code, when: (args) => when(...(args as Args<N>)) });
    return this;
  }

  /** Runs `action` just before each such call: for what another program does at the worst moment. */
  before<N extends CallName>(name: N, action: (...args: Args<N>) => void): this {
    this.#before.push({ name, action: (args) => action(...(args as Args<N>)) });
    return this;
  }

  /** The recorded calls of that name. */
  made<N extends CallName>(name: N, when: (...args: Args<N>) => boolean = () => true): Call[] {
    return this.calls.filter((call) => call.name === name && when(...(call.args as Args<N>)));
  }

  #wrap(name: CallName): (...args: unknown[]) => unknown {
    return (...args) => {
      for (const step of this.#before) if (step.name === name) step.action(args);
      const fault = this.#faults.find((candidate) => candidate.name === name && candidate.when(args));
      this.calls.push({ name, args, refused: fault?.code ?? null });
      if (fault !== undefined) throw nativeError(fault.code, name);
      return (this.real[name] as (...args: unknown[]) => unknown)(...args);
    };
  }
}

/** What the addon throws for a failed system call. */
export function nativeError(code: string, syscall: string): NativeError {
  const errno = (constants.errno as Record<string, number>)[code];
  if (errno === undefined) throw new RangeError(`there is no errno ${code}`);
  return Object.assign(new Error(`${code}: made to fail, ${syscall}`), { code, errno, syscall });
}

const { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } = loadNative().constants;
export const ZERO_RANGE = FALLOC_FL_ZERO_RANGE;
export const PUNCH_HOLE = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
export const ALLOCATE = 0;

/** A trigger: fallocate with exactly this mode. */
export function mode(wanted: number): (fd: number, mode: number, start: number, length: number) => boolean {
  return (_fd, given) => given === wanted;
}
