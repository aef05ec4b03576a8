/**
 * Reads a JSON body: application/json only (a web page can send anything else without asking us first),
 * valid UTF-8, at most 1 MiB, not compressed.
 */
import { isUtf8 } from 'node:buffer';
import type { Request, Response } from 'express';

// By require() as in shared/queue/bullmq.ts.
import express = require('express');

import { FerryError, type FieldProblem } from '../../shared/errors.js';
import { MiB } from '../../shared/units.js';
import { invalid } from './problem.js';
import { fieldName } from './validate.js';

const parse = express.json({
  limit: MiB,
  inflate: false,
  // What is no object is valid JSON; the schema says better what is wrong with it.
  strict: false,
  type: 'application/json',
  verify: (_request, _response, buffer) => {
    if (!isUtf8(buffer)) throw new Error('not UTF-8');
  },
});

/**
 * @param required  false: no body at all is fine and gives {}
 * @throws FerryError UNSUPPORTED_MEDIA_TYPE, BAD_JSON, BODY_TOO_LARGE, BAD_REQUEST
 */
export async function readJson(request: Request, response: Response, required: boolean): Promise<unknown> {
  const { headers } = request;
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  if (headers['content-type'] !== undefined ? !request.is('application/json') && !isJsonType(request) : hasBody) {
    throw new FerryError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type: must be application/json');
  }
  if (!hasBody) {
    if (!required) return {};
    throw new FerryError('BAD_JSON', 'the body is empty');
  }
  await new Promise<void>((resolve, reject) => {
    parse(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  const body: unknown = request.body;
  if (body === undefined) throw new FerryError('BAD_JSON', 'the body is empty');
  refusePrototypes(body);
  return body;
}

/** `request.is` answers only when there is a body. */
function isJsonType(request: Request): boolean {
  return /^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '');
}

/**
 * A `__proto__` key is an unknown field like any other, but validation may drop it instead of naming it.
 * Not recursive: a body may be nested half a million deep.
 */
function refusePrototypes(body: unknown): void {
  const todo: { value: unknown; path: PropertyKey[] }[] = [{ value: body, path: [] }];
  const problems: FieldProblem[] = [];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { value, path } = next;
    if (typeof value !== 'object' || value === null) continue;
    if (Object.hasOwn(value, '__proto__')) {
      problems.push({ field: fieldName([...path, '__proto__']), message: 'is not known' });
      break;
    }
    // Deeper than any field of ours: the schema refuses the branch by the name of its top.
    if (path.length > 8) continue;
    const isArray = Array.isArray(value);
    for (const key of Object.keys(value)) {
      todo.push({ value: value[key as never], path: [...path, isArray ? Number(key) : key] });
    }
  }
  if (problems.length > 0) throw invalid(problems);
}
