import { flushTarget } from '../storage/flush.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';

export const flush: TaskFunction<'flush'> = ({ target }) => {
  flushTarget(threadIo(), target);
};
