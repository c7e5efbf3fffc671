/** The flanneld processes of this network namespace, ours or real flannel's, by what /proc says. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { DEFAULT_SUBNET_FILE } from '@flannel-ts/flannel/defaults';

export interface RunningDaemon {
  readonly pid: number;
  /** As given to the process; undefined: the default. */
  readonly subnetFile: string | undefined;
  /** Stopped by a signal (SIGSTOP) or a debugger, or frozen. */
  readonly isStopped: boolean;
  /** What follows the name of the program. */
  readonly argv: readonly string[];
  /** Variables of flanneld only. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The subnet file that it uses. */
export function fileOf({ subnetFile = DEFAULT_SUBNET_FILE }: RunningDaemon): string {
  return subnetFile;
}

export interface ProcessFacts {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** The letter of proc_pid_stat(5). */
  readonly state: string;
}

/** Releases of flannel are called flanneld-amd64 and the like. */
const NAME = /^flanneld(-[a-z0-9]+)?$/;
const VARIABLE = 'FLANNELD_SUBNET_FILE';

/** What this process is to itself is left out. */
export function findDaemons(): RunningDaemon[] {
  const namespace = readlinkSync('/proc/self/ns/net');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => readProcess(pid, namespace) ?? [])
    .flatMap((facts) => daemonOf(facts) ?? []);
}

/** Undefined for a process that is no daemon: `flanneld status`, for one. Pure. */
export function daemonOf({ pid, argv, environment, state }: ProcessFacts): RunningDaemon | undefined {
  const [program = '', ...words] = argv;
  if (!NAME.test(program.split('/').at(-1)!) || state === 'Z') return undefined;
  let subnetFile = environment[VARIABLE] || undefined;
  for (const [index, word] of words.entries()) {
    const given = /^--?subnet-file(?:=(.*))?$/s.exec(word);
    if (given !== null) subnetFile = given[1] ?? words[index + 1];
  }
  // A command comes first in practice; a flag's value elsewhere would look the same.
  if (words[0] !== undefined && /^[a-z]+$/.test(words[0])) return undefined;
  const own = Object.entries(environment).filter(([name]) => name.startsWith('FLANNELD_'));
  const isStopped = state === 'T' || state === 't';
  return { pid, subnetFile, isStopped, argv: words, environment: Object.fromEntries(own) };
}

/** Undefined for what is in another namespace, has gone meanwhile, or may not be looked at. */
function readProcess(pid: string, namespace: string): ProcessFacts | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const command = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    if (!NAME.test(command)) return undefined;
    if (readlinkSync(`/proc/${pid}/ns/net`) !== namespace) return undefined;
    return {
      pid: Number(pid),
      argv: words(readFileSync(`/proc/${pid}/cmdline`, 'utf8')),
      environment: Object.fromEntries(
        words(readFileSync(`/proc/${pid}/environ`, 'utf8')).map((entry) => {
          const at = entry.indexOf('=');
          return [entry.slice(0, at), entry.slice(at + 1)];
        }),
      ),
      state: stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '',
    };
  } catch {
    return undefined;
  }
}

/** Both files end each word with a zero byte. */
function words(text: string): string[] {
  return text.split('\0').slice(0, -1);
}
