/** The commands of flanneld, with the flags that only they have: what -help and docs/flags.md show, and what options.ts reads. */
import type { FlagTable } from './flags.ts';

export interface CommandSpec {
  readonly help: string;
  readonly flags: FlagTable;
}

const off = (help: string) => ({ kind: 'boolean', fallback: 'false', help }) as const;

/** `run` is what flanneld does without a word. */
export const COMMANDS = {
  run: { help: 'run the daemon', flags: {} },
  status: {
    help: 'show the lease, the other nodes, and what is not well; exit code 0 ready, 1 not ready, 3 no flanneld runs, 4 it does not answer',
    flags: {
      json: off('print JSON'),
      wait: off('wait until it is ready'),
      timeout: { kind: 'integer', fallback: '60', help: 'seconds to wait at most, with -wait' },
    },
  },
  release: { help: 'give back the lease of this node, when it is taken out of service', flags: {} },
  cleanup: { help: 'remove the devices, routes, rules and files that flanneld made on this node', flags: {} },
} as const satisfies Readonly<Record<string, CommandSpec>>;

export type CommandName = keyof typeof COMMANDS;

export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];

/** Every flag that some command has. */
export const COMMAND_FLAGS: FlagTable = Object.assign({}, ...Object.values(COMMANDS).map(({ flags }) => flags));
