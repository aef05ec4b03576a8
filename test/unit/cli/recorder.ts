/** A screen that remembers what it was told. */
import type { Screen } from '../../../services/cli/context.js';

export function recorder(): { screen: Screen; lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    screen: { line: (text) => lines.push(text), note: () => {}, terminal: false, columns: 80, rows: 24 },
  };
}
