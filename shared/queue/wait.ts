/** Waits for a later version of something that is kept in Redis and announced on a channel. */

export interface WaitOptions<T> {
  /** null: it is not there (any more). */
  readonly read: () => Promise<T | null>;
  /** True: no later version will come. */
  readonly isOver: (value: T) => boolean;
  /** Calls back after each change, from the moment at which the promise resolves. */
  readonly watch: (callback: () => void) => Promise<() => void>;
  /** A `version`; 'current': that of now. */
  readonly since: number | 'current';
  readonly timeoutMs: number;
  /** Ends the wait early, with the value as it is. */
  readonly signal?: AbortSignal | undefined;
  /** True: whoever reads is closing, so the wait is over. */
  readonly closed: () => boolean;
}

/** @throws what `read` and `watch` throw */
export async function waitForVersion<T extends { readonly version: number }>(
  options: WaitOptions<T>,
): Promise<T | null> {
  const { read, watch, since, timeoutMs, signal, closed } = options;
  let value = await read();
  if (value === null) return null;
  const version = since === 'current' ? value.version : since;
  const isDue = () => value === null || value.version > version || options.isOver(value);
  if (isDue() || timeoutMs <= 0) return value;

  let wake = () => {};
  let next = new Promise<void>((resolve) => (wake = resolve));
  let over = false;
  const giveUp = () => {
    over = true;
    wake();
  };
  const timer = setTimeout(giveUp, timeoutMs);
  signal?.addEventListener('abort', giveUp);
  let unwatch = () => {};
  try {
    unwatch = await watch(() => wake());
    for (;;) {
      // Armed before the read: a change during the read ends the wait that follows.
      next = new Promise<void>((resolve) => (wake = resolve));
      value = await read();
      if (isDue() || over || closed() || signal?.aborted) return value;
      await next;
      if (over || closed()) return await read().catch(() => value);
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
    unwatch();
  }
}
