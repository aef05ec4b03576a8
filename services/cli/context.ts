/** What a command works with: everything it needs of the process, so that nothing else reaches for it. */
import type { Env } from '../../shared/config.js';

export interface Screen {
  /** One line to stdout: what the command was asked for. */
  line(text: string): void;
  /** One line to stderr: what a person should know beside it. */
  note(text: string): void;
  /** Whether a person looks at stdout now: bars and columns are for people. */
  readonly terminal: boolean;
  /** As large as it is now: a person may pull at the window. */
  readonly columns: number;
  readonly rows: number;
}

export interface Context {
  readonly env: Env;
  readonly screen: Screen;
  /** Sets the code `ferry` ends with; the last one counts. */
  exitWith(code: number): void;
  /** Ends the process at once, without closing anything. Only for a person's second signal. */
  abandon(code: number): void;
}
