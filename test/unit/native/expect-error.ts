/** What every call of the native module must do with a failure and with arguments that are wrong. */
import { expect } from 'chai';
import { loadNative, type NativeError } from '../../../workers/native/index.js';

const { constants } = loadNative();
export const { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } = constants;

/** No process has so many descriptors open: the kernel answers EBADF. */
export const NO_FD = 1_000_000;

/** Runs `call`, which must fail with that code, from that system call, and say both in its message. */
export function expectErrno(code: string, syscall: string, call: () => unknown): NativeError {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, `an error with code ${code}`).to.be.instanceOf(Error);
  const error = thrown as NativeError;
  expect({ code: error.code, syscall: error.syscall }).to.deep.equal({ code, syscall });
  expect(error.errno).to.be.within(1, 4095);
  expect(error.message).to.match(new RegExp(`^${code}: [^A-Z].*, ${syscall.replace(/[()]/g, '\\$&')}$`));
  return error;
}

// Each is no number of bytes and no file descriptor. What the type system forbids is the point here.
const NOT_NUMBERS = [undefined, null, '4096', 1n, true, {}, Symbol('number')];
const NOT_WHOLE = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53];

/**
 * Checks that each numeric argument of a call is refused by name when it is none, and when it is not whole.
 * @param call  the call, its arguments open
 * @param good  arguments of the right kind; the call is never made with all of them good
 * @param names of those arguments that must be whole numbers, by position; null: this one is not
 */
export function expectChecked(
  call: (...args: never[]) => unknown,
  good: readonly unknown[],
  names: readonly (string | null)[],
): void {
  for (const [index, name] of names.entries()) {
    if (name === null) continue;
    for (const bad of NOT_NUMBERS) {
      const args = good.with(index, bad) as never[];
      expect(() => call(...args), `${name} = ${String(bad)}`).to.throw(TypeError, `${name} must be a whole number`);
    }
    for (const bad of NOT_WHOLE) {
      const args = good.with(index, bad) as never[];
      expect(() => call(...args), `${name} = ${bad}`).to.throw(RangeError, `${name} must be a whole number`);
    }
  }
}
