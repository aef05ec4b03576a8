import { loadNative } from '../native/index.js';
import { flushTarget } from '../storage/flush.js';
import type { TaskFunction } from './contracts.js';

export const flush: TaskFunction<'flush'> = ({ target }) => {
  flushTarget(loadNative(), target);
};
