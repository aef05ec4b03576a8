/** From zod's issues to fields as a client knows them: `source.path`, `ranges[0].length`. */
import type { z } from 'zod';
import type { FieldProblem } from '../../shared/errors.js';
import { invalid } from './problem.js';

type Issue = z.core.$ZodIssue;

// A body can hold thousands of wrong fields; the first ones say enough.
const MAX_PROBLEMS = 50;

/**
 * @param whole  what to call the value itself when it is wrong as a whole, such as `body`
 * @throws FerryError BAD_REQUEST  naming every field
 */
export function validate<Schema extends z.ZodType>(schema: Schema, value: unknown, whole: string): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // The first problem of a field: the rest of them (too big, and no whole number) say the same in other words.
  const problems = new Map<string, FieldProblem>();
  for (const problem of parsed.error.issues.flatMap((issue) => explain(issue, value, whole))) {
    if (!problems.has(problem.field)) problems.set(problem.field, problem);
  }
  throw invalid([...problems.values()].slice(0, MAX_PROBLEMS));
}

function explain(issue: Issue, value: unknown, whole: string): FieldProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: fieldName([...issue.path, key.slice(0, 100)]), message: 'is not known' }));
  }
  const field = fieldName(issue.path) || whole;
  if (issue.path.length > 0 && at(value, issue.path) === undefined) return [{ field, message: 'is missing' }];
  if (issue.code === 'invalid_union' && issue.errors.length === 0) {
    return [{ field, message: 'is none of the known ones' }];
  }
  return [{ field, message: issue.message }];
}

export function fieldName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const part of path) {
    if (typeof part === 'number') name += `[${part}]`;
    else name += name === '' ? String(part) : `.${String(part)}`;
  }
  return name;
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  let here = value;
  for (const part of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, part)) return undefined;
    here = (here as Record<PropertyKey, unknown>)[part];
  }
  return here;
}
