/** This process's terminal, or what stands in its place. */
import type { Screen } from './context.js';
import { printable } from './words.js';

export const processScreen: Screen = {
  line: (text) => process.stdout.write(`${printable(text)}\n`),
  note: (text) => process.stderr.write(`${printable(text)}\n`),
  terminal: process.stdout.isTTY === true,
  get columns() {
    return process.stdout.columns || 80;
  },
  get rows() {
    return process.stdout.rows || 24;
  },
};
