/** flanneld's command line: flannel's flags and FLANNELD_* variables as one value (flannel main.go). */
import {
  DEFAULT_BUSY_POLL_US,
  ENGINE_NAMES,
  type EngineChoice,
  type EngineName,
  MAX_BUSY_POLL_US,
  MAX_QUEUES,
} from '@flannel-ts/flannel/backend-config';
import { DEFAULT_ETCD_PREFIX, DEFAULT_SUBNET_FILE } from '@flannel-ts/flannel/defaults';
import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import { type Ipv4, isIpv4Text, parseIpv4 } from '@flannel-ts/inet/ipv4';
import { type Ipv6, isIpv6Text, isLinkLocalIpv6, parseIpv6 } from '@flannel-ts/inet/ipv6';
import { defined } from './defined.ts';
import { messageOf } from './errors.ts';
import {
  booleanValue,
  checkValue,
  environmentName,
  type FlagTable,
  type ParsedFlags,
  parseFlags,
  usage,
} from './flags.ts';

export type Command = 'run' | 'release' | 'cleanup' | 'help' | 'version';

export interface EtcdOptions {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly keyFile?: string;
  readonly certFile?: string;
  readonly caFile?: string;
  readonly username?: string;
  readonly password?: string;
}

export interface InterfaceOptions {
  readonly names: readonly string[];
  readonly patterns: readonly RegExp[];
  readonly canReach?: Ip;
  readonly publicIp?: Ipv4;
  readonly publicIpv6?: Ipv6;
}

export interface Options {
  readonly command: Command;
  readonly etcd: EtcdOptions;
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
  readonly renewMarginMinutes: number;
  readonly ipMasq: boolean;
  readonly ipMasqFullyRandom: boolean;
  readonly forwardRules: boolean;
  readonly rulesResyncSeconds: number;
  readonly healthzIp: string;
  readonly healthzPort: number;
  /** Only what was given: the network config may say the rest. */
  readonly engine: EngineChoice;
  readonly verbosity: number;
}

export interface OptionsResult {
  readonly options: Options;
  /** What was passed over, for the log: a bad environment value is no reason not to start (as in flannel). */
  readonly warnings: readonly string[];
}

const string = (fallback: string, help: string) => ({ kind: 'string', fallback, help }) as const;
const integer = (fallback: number, help: string) => ({ kind: 'integer', fallback: String(fallback), help }) as const;
const boolean = (fallback: boolean, help: string) => ({ kind: 'boolean', fallback: String(fallback), help }) as const;
const list = (help: string) => ({ kind: 'list', fallback: '', help }) as const;

export const FLAGS = {
  'etcd-endpoints': string('http://127.0.0.1:4001,http://127.0.0.1:2379', 'comma-separated list of etcd endpoints'),
  'etcd-prefix': string(DEFAULT_ETCD_PREFIX, 'etcd prefix'),
  'etcd-keyfile': string('', 'client key for etcd'),
  'etcd-certfile': string('', 'client certificate for etcd'),
  'etcd-cafile': string('', 'certificate authority of etcd; works without a client certificate, too'),
  'etcd-username': string('', 'user name for etcd'),
  'etcd-password': string('', 'password for etcd; better given as FLANNELD_ETCD_PASSWORD'),
  iface: list('interface (name or address) for traffic between hosts; repeat it to try several in order'),
  'iface-regex': list(
    'regular expression for the address or name of the interface, tried after -iface; may be repeated',
  ),
  'iface-can-reach': string('', 'choose the interface by which this address, of IPv4 or IPv6, is reached'),
  'subnet-file': string(DEFAULT_SUBNET_FILE, 'file to write subnet, MTU and masquerading to'),
  'public-ip': string('', 'address that other nodes reach this one by'),
  'public-ipv6': string(
    '',
    'the same for IPv6: to publish beside it, or alone where nodes reach each other by IPv6 only',
  ),
  'subnet-lease-renew-margin': integer(60, 'minutes before the end of the lease at which it is renewed (1 to 1439)'),
  'ip-masq': boolean(false, 'masquerade traffic that leaves the overlay network'),
  'ip-masq-fully-random-disable': boolean(false, 'masquerade without fully random source ports'),
  'kube-subnet-mgr': boolean(false, 'take the subnet from the Kubernetes API instead of etcd'),
  'kube-api-url': string('', 'Kubernetes API server'),
  'kubeconfig-file': string('', 'kubeconfig file'),
  'kube-annotation-prefix': string('flannel.alpha.coreos.com', 'prefix of node annotations'),
  'net-config-path': string('/etc/kube-flannel/net-conf.json', 'network config file for the Kubernetes subnet manager'),
  'set-node-network-unavailable': boolean(true, 'set the node condition NetworkUnavailable'),
  'healthz-ip': string('0.0.0.0', 'address for /healthz, /readyz and /metrics'),
  'healthz-port': integer(0, 'port for /healthz, /readyz and /metrics; 0 turns them off'),
  'iptables-resync': integer(5, 'seconds between checks of the firewall rules'),
  'iptables-forward-rules': boolean(true, 'accept forwarded traffic of the overlay network'),
  'ip-blackhole-route': boolean(false, 'blackhole route for addresses of the own subnet that no pod has'),
  engine: string(
    '',
    'what forwards packets of the udp backend: fast, or reference (one packet per system call). This and the next three win over Engine, Offload, BusyPollUs and Queues of Backend in the network config',
  ),
  'engine-offload': boolean(true, 'let the fast engine use offloads of the kernel; turn off where they misbehave'),
  'engine-busy-poll': integer(
    DEFAULT_BUSY_POLL_US,
    `microseconds (0 to ${MAX_BUSY_POLL_US}) that the fast engine looks for more packets before it sleeps, while that pays`,
  ),
  'engine-queues': integer(1, `queues of the device (1 to ${MAX_QUEUES}), each with a thread of the fast engine`),
  version: boolean(false, 'print the version and exit'),
  help: boolean(false, 'print this and exit'),
  h: boolean(false, 'print this and exit'),
  v: integer(0, 'verbosity: 1 logs more, 4 all'),
  vmodule: string('', 'accepted for compatibility'),
  log_backtrace_at: string('', 'accepted for compatibility'),
} as const satisfies FlagTable;

type FlagName = keyof typeof FLAGS;

/** Throws a DaemonError of code USAGE: exit status 2. */
export function parseOptions(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): OptionsResult {
  const flags = parseFlags(FLAGS, argv);
  const warnings: string[] = [];
  const values = withEnvironment(flags, environment, warnings);
  const read = new Reader(values);
  return { options: build(commandOf(flags, read), read), warnings };
}

export function helpText(): string {
  const lines = Object.entries(FLAGS).map(([name, { fallback, help }]) => {
    return `  -${name}\n        ${help}${fallback === '' ? '' : ` (default ${fallback})`}`;
  });
  return [
    'Usage: flanneld [OPTION]...            run the daemon',
    '       flanneld release [OPTION]...    give back the lease of this node, when it is taken out of service',
    '       flanneld cleanup [OPTION]...    remove the devices, routes, rules and files that flanneld made on this node',
    '',
    'Every option may also come from the environment: -etcd-endpoints from FLANNELD_ETCD_ENDPOINTS.',
    '',
    ...lines,
    '',
  ].join('\n');
}

function build(command: Command, read: Reader): Options {
  return {
    command,
    etcd: etcdOptions(read),
    interface: interfaceOptions(read),
    subnetFile: read.text('subnet-file'),
    renewMarginMinutes: read.integer('subnet-lease-renew-margin', 1, 24 * 60 - 1),
    ipMasq: read.flag('ip-masq'),
    ipMasqFullyRandom: !read.flag('ip-masq-fully-random-disable'),
    forwardRules: read.flag('iptables-forward-rules'),
    rulesResyncSeconds: read.integer('iptables-resync', 1, 86_400),
    healthzIp: read.text('healthz-ip'),
    healthzPort: read.integer('healthz-port', 0, 65_535),
    engine: engineChoice(read),
    verbosity: read.integer('v', 0, 100),
  };
}

function commandOf(flags: ParsedFlags, read: Reader): Command {
  if (read.flag('help') || read.flag('h')) return 'help';
  if (read.flag('version')) return 'version';
  const [word, ...rest] = flags.positional;
  if (rest.length > 0) throw usage(`Unexpected argument ${JSON.stringify(rest[0])}`);
  if (word !== undefined && word !== 'release' && word !== 'cleanup') {
    throw usage(`Unknown command ${JSON.stringify(word)}: flanneld knows release and cleanup`);
  }
  if (read.flag('kube-subnet-mgr')) {
    throw usage('The Kubernetes subnet manager (-kube-subnet-mgr) is not supported: use etcd (-etcd-endpoints)');
  }
  if (read.flag('ip-blackhole-route')) throw usage('The option -ip-blackhole-route is not supported');
  return word ?? 'run';
}

function engineChoice(read: Reader): EngineChoice {
  const name = read.optional('engine');
  return defined({
    engine: name === undefined ? undefined : engineName(name),
    offload: read.isGiven('engine-offload') ? read.flag('engine-offload') : undefined,
    busyPollUs: read.isGiven('engine-busy-poll') ? read.integer('engine-busy-poll', 0, MAX_BUSY_POLL_US) : undefined,
    queues: read.isGiven('engine-queues') ? read.integer('engine-queues', 1, MAX_QUEUES) : undefined,
  });
}

function engineName(text: string): EngineName {
  const name = ENGINE_NAMES.find((known) => known === text);
  if (name === undefined) {
    throw usage(`Invalid value ${JSON.stringify(text)} for flag -engine: use one of ${ENGINE_NAMES.join(', ')}`);
  }
  return name;
}

function etcdOptions(read: Reader): EtcdOptions {
  const endpoints = read
    .text('etcd-endpoints')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  if (endpoints.length === 0) throw usage('No etcd endpoint: give at least one with -etcd-endpoints');
  for (const endpoint of endpoints) checkEndpoint(endpoint);
  const keyFile = read.optional('etcd-keyfile');
  const certFile = read.optional('etcd-certfile');
  if ((keyFile === undefined) !== (certFile === undefined)) {
    throw usage('A client certificate for etcd needs both -etcd-certfile and -etcd-keyfile');
  }
  return {
    endpoints: endpoints.map((endpoint) => endpoint.replace(/\/+$/, '')),
    prefix: normalizePrefix(read.text('etcd-prefix')),
    ...defined({
      keyFile,
      certFile,
      caFile: read.optional('etcd-cafile'),
      username: read.optional('etcd-username'),
      password: read.optional('etcd-password'),
    }),
  };
}

function checkEndpoint(endpoint: string): void {
  if (!/^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^/:@\s]+):\d{1,5}\/*$/.test(endpoint)) {
    throw usage(`Invalid etcd endpoint ${JSON.stringify(endpoint)}: write it like http://10.0.0.1:2379`);
  }
}

/** path.Join of Go: one slash between words, none at the end. */
function normalizePrefix(prefix: string): string {
  const words = prefix.split('/').filter((word) => word !== '' && word !== '.');
  return (prefix.startsWith('/') ? '/' : '') + words.join('/');
}

function interfaceOptions(read: Reader): InterfaceOptions {
  const patterns = read.all('iface-regex').map((source) => {
    try {
      return new RegExp(source);
    } catch (error) {
      throw usage(`Invalid regular expression for -iface-regex: ${messageOf(error)}`);
    }
  });
  const names = read.all('iface');
  return {
    names,
    patterns,
    ...defined({
      canReach: read.anyAddress('iface-can-reach'),
      publicIp: read.address('public-ip'),
      publicIpv6: read.address6('public-ipv6'),
    }),
  };
}

class Reader {
  constructor(private readonly values: ReadonlyMap<string, readonly string[]>) {}

  all(name: FlagName): readonly string[] {
    return (this.values.get(name) ?? []).filter((value) => value !== '');
  }

  text(name: FlagName): string {
    return this.values.get(name)?.at(-1) ?? FLAGS[name].fallback;
  }

  optional(name: FlagName): string | undefined {
    return this.text(name) === '' ? undefined : this.text(name);
  }

  /** By the command line or the environment, be it with the default value. */
  isGiven(name: FlagName): boolean {
    return this.values.has(name);
  }

  flag(name: FlagName): boolean {
    return booleanValue(this.text(name));
  }

  integer(name: FlagName, min: number, max: number): number {
    const value = Number(this.text(name));
    if (value < min || value > max)
      throw usage(`Invalid value ${value} for flag -${name}: must be from ${min} to ${max}`);
    return value;
  }

  address(name: FlagName): Ipv4 | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    if (!isIpv4Text(text))
      throw usage(`Invalid value ${JSON.stringify(text)} for flag -${name}: write an IPv4 address`);
    return parseIpv4(text);
  }

  address6(name: FlagName): Ipv6 | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    if (!isIpv6Text(text))
      throw usage(`Invalid value ${JSON.stringify(text)} for flag -${name}: write an IPv6 address`);
    const address = parseIpv6(text);
    if (isLinkLocalIpv6(address)) {
      throw usage(
        `Invalid value ${JSON.stringify(text)} for flag -${name}: a link-local address is known on its link only`,
      );
    }
    return address;
  }

  anyAddress(name: FlagName): Ip | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    try {
      return parseIp(text);
    } catch {
      throw usage(`Invalid value ${JSON.stringify(text)} for flag -${name}: write an IPv4 or IPv6 address`);
    }
  }
}

/** The environment counts where the command line says nothing; an empty variable is none. */
function withEnvironment(
  flags: ParsedFlags,
  environment: Readonly<Record<string, string | undefined>>,
  warnings: string[],
): ReadonlyMap<string, readonly string[]> {
  const values = new Map(flags.given);
  for (const [name, spec] of Object.entries(FLAGS)) {
    const value = environment[environmentName(name)];
    if (value === undefined || value === '' || values.has(name)) continue;
    try {
      checkValue(name, spec, value);
      values.set(name, [value]);
    } catch (error) {
      warnings.push(`Environment variable ${environmentName(name)} is not used: ${messageOf(error)}`);
    }
  }
  return values;
}
