/** The commands of flanneld, with the flags that only they have: what -help and docs/flags.md show, and what options.ts reads. */
import type { FlagTable } from './flags.ts';

export interface CommandSpec {
  readonly help: string;
  readonly flags: FlagTable;
  /** What comes after it, all of it needed. */
  readonly operands?: readonly OperandSpec[];
}

export interface OperandSpec {
  /** As usage texts show it. */
  readonly name: string;
  /** Those that there are; a path without. */
  readonly values?: readonly string[];
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
  support: {
    help: 'write an archive for support: status, metrics, links, routes, rules, log; without secrets',
    flags: {
      o: {
        kind: 'string',
        fallback: '',
        help: 'file to write; by default one named by the host and the time',
        hint: 'file',
      },
      log: {
        kind: 'string',
        fallback: '',
        help: 'file that has the log; by default the one that the running flanneld writes to, or else the journal',
        hint: 'file',
      },
    },
  },
  release: { help: 'give back the lease of this node, when it is taken out of service', flags: {} },
  'config check': {
    help: 'check a network config, JSON as in etcd or net-conf.json ("-" for standard input), and show what results; exit code 1 if there is a fault',
    operands: [{ name: 'FILE' }],
    flags: {},
  },
  'install-cni': {
    help: 'copy the CNI plugin to where the container runtime of the node looks for it, then its configuration: what a pod of flanneld does first',
    operands: [{ name: 'PLUGIN' }, { name: 'CONFIG' }],
    flags: {
      'cni-bin-dir': {
        kind: 'string',
        fallback: '/opt/cni/bin',
        help: 'directory of plugins',
        hint: 'directory',
      },
      'cni-conf-dir': {
        kind: 'string',
        fallback: '/etc/cni/net.d',
        help: 'directory of configurations',
        hint: 'directory',
      },
    },
  },
  cleanup: {
    help: 'remove the devices, routes, rules and files that flanneld, or real flannel, made on this node',
    flags: {
      'dry-run': off('show what would be removed, and remove nothing'),
      force: off('remove also while a flanneld runs, which makes most of it again'),
      identity: off('remove what other nodes know this one by, too: MAC addresses and keys'),
      bridge: off('remove the bridge of pods, too; pods that run are cut off'),
    },
  },
  completion: {
    help: 'print what a shell needs to complete the commands and options of flanneld',
    operands: [{ name: 'SHELL', values: ['bash', 'zsh', 'fish'] }],
    flags: {},
  },
  man: { help: 'print the manual page, for man(1)', flags: {} },
} as const satisfies Readonly<Record<string, CommandSpec>>;

export type CommandName = keyof typeof COMMANDS;

/** As a type that has all fields. */
export function commandSpec(name: CommandName): CommandSpec {
  return COMMANDS[name];
}

/** `flanneld config check FILE`; the daemon itself has no word. */
export function commandLine(name: CommandName): string {
  const operands = (commandSpec(name).operands ?? []).map((operand) => operand.name);
  return ['flanneld', ...(name === 'run' ? [] : [name]), ...operands].join(' ');
}

export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];

/** Every flag that some command has. */
export const COMMAND_FLAGS: FlagTable = Object.assign({}, ...Object.values(COMMANDS).map(({ flags }) => flags));
