/** Lists that the API gives page by page: a page may be shorter than asked for although there are more. */

export interface Page<Item> {
  readonly items: readonly Item[];
  /** null: this was the last page. */
  readonly nextCursor: string | null;
}

/** The API gives at most this many at once. */
const PAGE = 1000;

/** @returns the first `limit` items, fewer when there are no more */
export async function collectPages<Item>(
  limit: number,
  ask: (limit: number, cursor: string | undefined) => Promise<Page<Item>>,
): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | undefined;
  do {
    const page = await ask(Math.min(PAGE, limit - items.length), cursor);
    items.push(...page.items);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined && items.length < limit);
  return items.slice(0, limit);
}
