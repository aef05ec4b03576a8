/** What the demo has made, undone last first, whatever happened in between. */

type Undo = () => Promise<void>;

export class Cleanup {
  private readonly undo: { what: string; action: Undo }[] = [];

  add(what: string, action: Undo): void {
    this.undo.push({ what, action });
  }

  /** @returns what could not be undone, in words */
  async run(): Promise<string[]> {
    const left: string[] = [];
    for (let entry = this.undo.pop(); entry !== undefined; entry = this.undo.pop()) {
      try {
        await entry.action();
      } catch (cause) {
        left.push(`${entry.what}: ${(cause as Error).message}`);
      }
    }
    return left;
  }
}
