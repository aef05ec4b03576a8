/** Zod pieces that several schemas share. Every number that counts bytes is a whole number up to 2^53 - 1. */
import { z } from 'zod';
import { parseNbdUri } from '../nbd-uri.js';

export const Size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const JobId = z.uuid({ version: 'v7' });
export const Timestamp = z.iso.datetime();
export const PoolName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9, "_" and "-"');

/** An absolute path as a client names it; whether it may be touched is decided against the storage roots. */
export const StoragePath = z
  .string()
  .min(2)
  .max(4095)
  .startsWith('/', 'must be an absolute path')
  .refine((path) => !path.includes('\0'), 'must not contain a NUL byte')
  .refine((path) => !path.split('/').includes('..'), 'must not contain ".."');

/** Where an NBD export is; whether its server may be talked to is decided against the configuration. */
export const NbdUri = z
  .string()
  .max(8192)
  .refine((text) => {
    try {
      parseNbdUri(text, 'uri');
      return true;
    } catch {
      return false;
    }
  }, 'must be nbd://host:port/export or nbd+unix:///export?socket=/path, without TLS');
