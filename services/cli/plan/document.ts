/**
 * A plan file as text: YAML, of which JSON is a part. Knows where in the file a field stands, and nothing of batches.
 * Refused: duplicate keys, unknown tags, several documents, and aliases that would blow it up.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { FerryError } from '../../../shared/errors.js';

/** As often as there may be disks: `options: *fast` may stand in each of them. */
const MAX_ALIASES = 20_000;
/** Characters of all keys and values once aliases are replaced. No server takes so large a body. */
const MAX_VALUE = 16 * 1024 * 1024;

export class PlanDocument {
  readonly value: unknown;
  private readonly document: Document;
  private readonly lines = new LineCounter();

  /**
   * @param file  what to call it in messages
   * @throws FerryError BAD_REQUEST     naming the line
   * @throws FerryError BODY_TOO_LARGE  with what its aliases stand for
   */
  constructor(
    readonly file: string,
    text: string,
  ) {
    this.document = parseDocument(text, {
      lineCounter: this.lines,
      uniqueKeys: true,
      // `<<: *defaults` is what people know from other tools.
      merge: true,
      prettyErrors: false,
    });
    const [mistake] = [...this.document.errors, ...this.document.warnings];
    if (mistake !== undefined) throw this.mistake(mistake.pos[0], mistake.code, mistake.message);
    try {
      this.value = this.document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (cause) {
      if (!(cause instanceof ReferenceError)) throw cause;
      throw new FerryError('BAD_REQUEST', `${file}: ${cause.message}`, {}, { cause });
    }
    if (!isWithin(this.value, MAX_VALUE))
      throw new FerryError('BODY_TOO_LARGE', `${file}: its aliases stand for more than any server takes`);
  }

  /** The line of a field such as `vms[0].disks[1].source.path`, or of the nearest one around it that is there. */
  lineOf(field: string): number {
    let node = this.resolve(this.document.contents);
    let line = this.line(node);
    for (const part of field.match(/[^.[\]]+/g) ?? []) {
      const { at, next } = this.child(node, part);
      if (at === null) break;
      line = this.line(at);
      node = this.resolve(next);
    }
    return line;
  }

  /** A key is found by its own line: what it holds may begin on the next one. */
  private child(node: Node | null, part: string): { at: Node | null; next: Node | null } {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === part);
      return { at: (pair?.key as Node | undefined) ?? null, next: (pair?.value as Node | undefined) ?? null };
    }
    const item = isSeq(node) && /^\d+$/.test(part) ? (node.items[Number(part)] as Node | undefined) : undefined;
    return { at: this.resolve(item ?? null), next: item ?? null };
  }

  private resolve(node: Node | null): Node | null {
    return isAlias(node) ? (node.resolve(this.document) ?? null) : node;
  }

  private line(node: Node | null): number {
    return this.lines.linePos(node?.range?.[0] ?? 0).line || 1;
  }

  private mistake(offset: number, code: string, message: string): FerryError {
    const { line, col } = this.lines.linePos(offset);
    const words = SENTENCES[code] ?? message;
    return new FerryError('BAD_REQUEST', `${this.file}:${line}:${col}: ${words}`);
  }
}

/** Where yaml's own words speak to programmers. */
const SENTENCES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'this key is there twice',
  MULTIPLE_DOCS: 'a plan is one document; here a second one begins',
};

/** Counts without making anything: an alias may stand for much, many times. */
function isWithin(value: unknown, budget: number): boolean {
  const waiting: unknown[] = [value];
  let left = budget;
  while (waiting.length > 0 && left >= 0) {
    const next = waiting.pop();
    if (typeof next === 'string') left -= next.length;
    else if (typeof next !== 'object' || next === null) left -= 4;
    else {
      for (const [key, inner] of Object.entries(next)) {
        left -= key.length + 4;
        waiting.push(inner);
      }
    }
    if (left < 0) return false;
  }
  return true;
}
