/** What a support archive is made of: each source by itself, so that one that fails is a sentence in its file. */
import { readdirSync, readFileSync } from 'node:fs';
import { hostname, release, version } from 'node:os';
import { isErrno } from '@flannel-ts/linux/errors';
import { runProgram } from '@flannel-ts/linux/run-program';
import { readSysctl } from '@flannel-ts/linux/sysctl';
import { messageOf } from '../../errors.ts';
import { stateFileOf } from '../../subnet/kept-state.ts';
import { VERSION } from '../../version.ts';
import { askDaemon } from '../ask.ts';
import { socketOf } from '../socket.ts';

export interface Source {
  /** Of the file in the archive. */
  readonly name: string;
  readonly read: () => string | Promise<string>;
}

const ANSWER_MS = 3000;
const PROGRAM_MS = 10_000;
const MOST_OUTPUT_BYTES = 16 << 20;

const PAGES: Readonly<Record<string, string>> = {
  'status.json': '/status',
  'readyz.txt': '/readyz?verbose',
  'metrics.txt': '/metrics',
};

/** `nft -t` leaves out the elements of sets, of which others may have many thousands. "wg show" hides keys. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  'links.txt': ['ip', '-d', '-s', 'link'],
  'addresses.txt': ['ip', 'address'],
  'routes.txt': ['ip', 'route', 'show', 'table', 'all'],
  'routes6.txt': ['ip', '-6', 'route', 'show', 'table', 'all'],
  'rules.txt': ['ip', 'rule'],
  'rules6.txt': ['ip', '-6', 'rule'],
  'neighbours.txt': ['ip', '-s', 'neighbour'],
  'fdb.txt': ['bridge', 'fdb', 'show'],
  'sockets.txt': ['ss', '-anu'],
  'nftables.txt': ['nft', '-a', '-t', 'list', 'ruleset'],
  'iptables.txt': ['iptables-save', '-c'],
  'ip6tables.txt': ['ip6tables-save', '-c'],
  'iptables-legacy.txt': ['iptables-legacy-save', '-c'],
  'wireguard.txt': ['wg', 'show'],
};

/** Below /proc/sys; `*` is every interface. */
const PARAMETERS = [
  'net/ipv4/ip_forward',
  'net/ipv4/conf/*/forwarding',
  'net/ipv4/conf/*/rp_filter',
  'net/ipv4/conf/*/accept_local',
  'net/ipv6/conf/*/forwarding',
  'net/ipv6/conf/*/disable_ipv6',
  'net/ipv6/conf/*/accept_ra',
  'net/bridge/bridge-nf-call-iptables',
  'net/bridge/bridge-nf-call-ip6tables',
  'net/core/rmem_max',
  'net/core/wmem_max',
  'net/core/netdev_max_backlog',
  'net/ipv4/neigh/default/gc_thresh3',
  'net/ipv6/neigh/default/gc_thresh3',
  'net/netfilter/nf_conntrack_count',
  'net/netfilter/nf_conntrack_max',
];

export function sourcesOf(subnetFile: string): Source[] {
  return [
    { name: 'version.txt', read: describeHost },
    ...Object.entries(PAGES).map(([name, page]) => ({ name, read: () => ask(subnetFile, page) })),
    ...Object.entries(PROGRAMS).map(([name, command]) => ({ name, read: () => run(command) })),
    { name: 'sysctls.txt', read: readParameters },
    { name: 'subnet.env', read: () => readFileSync(subnetFile, 'utf8') },
    { name: 'state.json', read: () => readFileSync(stateFileOf(subnetFile), 'utf8') },
  ];
}

function describeHost(): string {
  return `flanneld ${VERSION}\n${hostname()}\nLinux ${release()} ${version()}\n${new Date().toISOString()}\n`;
}

async function ask(subnetFile: string, page: string): Promise<string> {
  const answer = await askDaemon(socketOf(subnetFile), page, ANSWER_MS);
  switch (answer.kind) {
    case 'answer':
      return answer.text;
    case 'absent':
      return `No flanneld listens at ${socketOf(subnetFile)}\n`;
    case 'silent':
      return `The flanneld at ${socketOf(subnetFile)} does not answer within ${ANSWER_MS / 1000} s\n`;
    case 'failed':
      return `Cannot ask the flanneld at ${socketOf(subnetFile)}: ${answer.reason}\n`;
  }
}

/** What the program prints, with the command before it. */
export function run([file, ...args]: readonly string[]): string {
  const command = [file, ...args].join(' ');
  try {
    const { status, timedOut, stdout, stderr } = runProgram(file!, args, {
      env: { PATH: PATHS, LC_ALL: 'C' },
      timeoutMs: PROGRAM_MS,
      maxOutputBytes: MOST_OUTPUT_BYTES,
    });
    const end = timedOut ? `was ended after ${PROGRAM_MS / 1000} s` : status === 0 ? '' : `ended with ${status}`;
    return [`# ${command}${end === '' ? '' : ` (${end})`}`, stdout.trimEnd(), stderr.trimEnd(), ''].join('\n');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return `# ${command} (there is no such program)\n`;
    throw error;
  }
}

/** Also those that only root has. */
const PATHS = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

function readParameters(): string {
  return PARAMETERS.flatMap((pattern) => expand(pattern))
    .flatMap((parameter) => {
      try {
        return [`${parameter.replaceAll('/', '.')} = ${readSysctl(parameter)}\n`];
      } catch {
        return []; // this kernel has it not, or not now
      }
    })
    .join('');
}

function expand(pattern: string): string[] {
  const [before, after] = pattern.split('*');
  if (after === undefined) return [pattern];
  try {
    return readdirSync(`/proc/sys/${before}`).map((name) => `${before}${name}${after}`);
  } catch (error) {
    return [`${pattern} (${messageOf(error)})`];
  }
}
