/** The query of a request, strictly: every name known, none twice, everything well encoded. */
import type { Request } from 'express';
import type { z } from 'zod';
import { FerryError } from '../../shared/errors.js';
import { invalid } from './problem.js';
import { validate } from './validate.js';

/** @throws FerryError BAD_REQUEST  naming the parameter */
export function readQuery<Schema extends z.ZodType>(schema: Schema, request: Request): z.output<Schema> {
  const text = request.originalUrl.split('?').slice(1).join('?');
  const values = new Map<string, string>();
  for (const part of text.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = decode(equals === -1 ? part : part.slice(0, equals));
    if (values.has(name)) throw invalid([{ field: name, message: 'is given more than once' }]);
    values.set(name, equals === -1 ? '' : decode(part.slice(equals + 1)));
  }
  if (values.has('__proto__')) throw invalid([{ field: '__proto__', message: 'is not known' }]);
  return validate(schema, Object.fromEntries(values), 'query');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (cause) {
    throw new FerryError('BAD_REQUEST', 'the query is not well encoded', { field: 'query' }, { cause });
  }
}
