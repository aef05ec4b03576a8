/** For tests of what goes wrong. */
import { FerryError } from '../../../shared/errors.js';

/** The code of the FerryError a promise is rejected with; otherwise says what happened instead. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof FerryError ? error.code : `no FerryError but ${String(error)}`;
  }
  return 'no error';
}
