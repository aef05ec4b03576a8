/** What a failing call threw, as the error that it must be. */
import { AssertionError } from 'chai';
import { FerryError } from '../../shared/errors.js';

/** @throws AssertionError when `work` succeeds or throws anything but a FerryError */
export async function failure(work: () => unknown): Promise<FerryError> {
  let value: unknown;
  try {
    value = await work();
  } catch (thrown) {
    if (thrown instanceof FerryError) return thrown;
    throw new AssertionError(`threw no FerryError but ${String(thrown)}`, { thrown });
  }
  throw new AssertionError(`succeeded where it should have failed, and gave ${JSON.stringify(value)}`);
}
