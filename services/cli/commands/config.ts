/** `ferry config`: the configuration as the servers would see it, checked, with its secrets hidden. */
import type { Command } from 'commander';
import { describeConfig } from '../../../shared/config.js';
import { type ShownConfig, settings } from '../config-table.js';
import type { Context } from '../context.js';
import { plainTable, trimRight } from '../report.js';
import { addServerFlags, configOf, givenFlags } from '../server-flags.js';

export function addConfig(program: Command, context: Context): void {
  addServerFlags(program.command('config').description('check the configuration and print it, secrets hidden'))
    .option('--json', 'print JSON')
    .action(async (flags: { json?: true }, command: Command) => {
      const shown = describeConfig(configOf(command, context.env)) as ShownConfig;
      if (flags.json === true) return context.screen.line(JSON.stringify(shown));
      const fromFlags = new Set(givenFlags(command).map(({ variable }) => tokenOrSame(variable)));
      const table = plainTable(['VARIABLE', 'VALUE', 'FROM']);
      for (const { variable, value, from } of settings(shown, context.env, fromFlags))
        table.push([variable, value, from]);
      context.screen.line(trimRight(table.toString()));
    });
}

/** `--token-file` decides the token. */
function tokenOrSame(variable: string): string {
  return variable === 'FERRY_API_TOKEN_FILE' ? 'FERRY_API_TOKEN' : variable;
}
