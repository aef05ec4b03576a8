/**
 * Machines on one network, each a network namespace of this one with a cable of its own that can be pulled.
 * `await using network = createNetwork(); const machine = network.machine();` Needs root and iproute2.
 * The addresses exist here only, between a bridge and its namespaces; nothing is routed anywhere.
 */
import { type Loan, lend } from './cleanup.js';
import { hasCommand, runSync } from './command.js';
import { type Declare, isRoot, needs } from './needs.js';

export interface Machine {
  readonly address: string;
  /** Runs a program there: `spawn(via[0], [...via.slice(1), program, ...])`. */
  readonly via: readonly string[];
  /** Pulls the cable: nothing arrives any more, and nobody is told. */
  unplug(): void;
  plug(): void;
}

export interface Network extends AsyncDisposable {
  /** Of this machine, on which everybody can reach it. */
  readonly address: string;
  machine(): Machine;
}

export const needsNetwork: Declare = needs(
  isRoot && hasCommand('ip') && namespacesWork(),
  'root, iproute2 and network namespaces',
);

let networks = 0;

export function createNetwork(): Network {
  // Names of interfaces have 15 characters at most. Two test runs at once must not share a network.
  networks += 1;
  const name = `fy${process.pid}n${networks}`;
  const subnet = `10.231.${(process.pid + networks) % 250}`;
  const address = `${subnet}.1`;
  const loans: Loan[] = [];
  const lent = (label: string, remove: readonly string[]) => loans.push(lend(label, () => ip(...remove)));

  ip('link', 'add', name, 'type', 'bridge');
  lent(`bridge ${name}`, ['link', 'del', name]);
  ip('address', 'add', `${address}/24`, 'dev', name);
  ip('link', 'set', name, 'up');

  let machines = 0;
  return {
    address,
    machine() {
      machines += 1;
      const namespace = `${name}m${machines}`;
      const cable = `${name}c${machines}`;
      const own = `${subnet}.${machines + 1}`;
      ip('netns', 'add', namespace);
      lent(`network namespace ${namespace}`, ['netns', 'del', namespace]);
      ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      // Unacknowledged TCP data keeps a namespace for minutes after its last process, and the cable with it.
      lent(`network interface ${cable}`, ['link', 'del', cable]);
      ip('link', 'set', cable, 'master', name, 'up');
      ip('-n', namespace, 'address', 'add', `${own}/24`, 'dev', 'eth0');
      for (const link of ['lo', 'eth0']) ip('-n', namespace, 'link', 'set', link, 'up');
      return {
        address: own,
        via: ['ip', 'netns', 'exec', namespace],
        unplug: () => ip('link', 'set', cable, 'down'),
        plug: () => ip('link', 'set', cable, 'up'),
      };
    },
    async [Symbol.asyncDispose]() {
      for (const loan of loans.reverse()) await loan.release();
    },
  };
}

function ip(...args: string[]): void {
  runSync('ip', args);
}

function namespacesWork(): boolean {
  const name = `fy${process.pid}probe`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return true;
  } catch {
    return false;
  }
}
