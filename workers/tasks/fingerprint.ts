import { fingerprintOf } from '../storage/fingerprint.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';

export const fingerprint: TaskFunction<'fingerprint'> = ({ handle }) => fingerprintOf(threadIo(), handle);
