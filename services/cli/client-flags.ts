/** Flags that every command that talks to the API has, and the client they make. */
import { type Command, Option } from 'commander';
import type { ApiClient } from './api-client.js';
import type { Context } from './context.js';
import { parseServerUrl } from './parse.js';

export interface ClientFlags {
  readonly server?: string;
  readonly json?: true;
}

export function addClientFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--server <URL>', 'API to talk to (FERRY_API_URL; default: the one of this machine)').argParser(
        parseServerUrl,
      ),
    )
    .option('--json', 'print JSON: one object; with --follow one a line');
}

/** @throws FerryError CONFIG_INVALID */
export async function clientOf({ server }: ClientFlags, { env }: Context): Promise<ApiClient> {
  const [{ readClientConfig }, { ApiClient }, { ApiTransport }] = await Promise.all([
    import('../../shared/config.js'),
    import('./api-client.js'),
    import('./api-transport.js'),
  ]);
  const config = readClientConfig(server === undefined ? env : { ...env, FERRY_API_URL: server });
  return new ApiClient(new ApiTransport(config.url, config.token));
}
