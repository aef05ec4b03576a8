/** `ferry config`: the configuration as the servers would see it, checked, with its secrets hidden. */
import type { Command } from 'commander';
import { type ShownConfig, settings } from '../config-table.js';
import type { Context } from '../context.js';
import { addServerFlags, configOf, givenFlags } from '../server-flags.js';

export function addConfig(program: Command, context: Context): void {
  addServerFlags(program.command('config').description('check the configuration and print it, secrets hidden'))
    .option('--json', 'print JSON')
    .action(async (flags: { json?: true }, command: Command) => {
      const config = await configOf(command, context.env);
      const { describeConfig } = await import('../../../shared/config.js');
      const shown = describeConfig(config) as ShownConfig;
      if (flags.json === true) return context.screen.line(JSON.stringify(shown));
      const fromFlags = new Set(givenFlags(command).map(({ variable }) => tokenOrSame(variable)));
      const { plainTable, trimRight } = await import('../report.js');
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
