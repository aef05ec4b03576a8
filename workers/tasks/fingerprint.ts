import { loadNative } from '../native/index.js';
import { fingerprintOf } from '../storage/fingerprint.js';
import type { TaskFunction } from './contracts.js';

export const fingerprint: TaskFunction<'fingerprint'> = ({ handle }) => fingerprintOf(loadNative(), handle);
