/** flanneld's command line: flannel's flags and FLANNELD_* variables as one value (flannel main.go). */
import {
  ENGINE_NAMES,
  type EngineChoice,
  type EngineName,
  MAX_BUSY_POLL_US,
  MAX_QUEUES,
  MAX_SOURCE_PORTS,
} from '@flannel-ts/flannel/backend-config';
import { DEFAULT_IDENTITY_FILE, DEFAULT_SUBNET_FILE } from '@flannel-ts/flannel/defaults';
import { COMMAND_FLAGS, COMMAND_NAMES, type CommandName, commandLine, commandSpec } from './command-table.ts';
import { defined } from './defined.ts';
import { messageOf } from './errors.ts';
import { FLAGS } from './flag-table.ts';
import { FlagValues, valuesOf } from './flag-values.ts';
import { booleanValue, type ParsedFlags, parseFlags, usage } from './flags.ts';
import type { CleanupChoice } from './operate/cleanup.ts';
import type { CniDirectories } from './operate/install-cni.ts';
import { type Endpoints, parseEndpoints } from './subnet/etcd/endpoints.ts';
import type { EtcdOptions } from './subnet/etcd/settings.ts';
import { annotationNames } from './subnet/kube/annotations.ts';
import type { KubeOptions } from './subnet/kube/settings.ts';
import { parseGoRegExp } from './underlay/go-regexp.ts';
import type { InterfaceOptions } from './underlay/select.ts';

export type Command = CommandName | 'help' | 'version';

/** Of `flanneld status`. */
export interface StatusOptions {
  readonly json: boolean;
  /** Until the node is ready; undefined: do not wait. */
  readonly waitMs: number | undefined;
  /** A subnet file was given, by the command line or the environment. */
  readonly isChosen: boolean;
}

export interface Options {
  readonly command: Command;
  /** What the command is about, like a file. */
  readonly operands: readonly string[];
  readonly status: StatusOptions;
  readonly cleanup: CleanupChoice;
  /** Of `flanneld support`: the file to write; undefined: a name of its own. */
  readonly supportFile: string | undefined;
  /** Where the log is; undefined: to be found. */
  readonly logFile: string | undefined;
  /** Of `flanneld install-cni`. */
  readonly cni: CniDirectories;
  readonly etcd: EtcdOptions;
  /** With -kube-subnet-mgr: etcd is then not used. */
  readonly kube: KubeOptions | undefined;
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
  /** '': none is written. */
  readonly cniConfFile: string;
  readonly identityFile: string;
  /** From a flanneld that runs with the same subnet file. */
  readonly takeOver: boolean;
  readonly renewMarginMinutes: number;
  readonly ipMasq: boolean;
  readonly ipMasqFullyRandom: boolean;
  /** Take packets of a peer only with a source in its subnets. */
  readonly antiSpoofing: boolean;
  readonly forwardRules: boolean;
  readonly rulesResyncSeconds: number;
  /** A route that drops packets to addresses of the own subnet that no pod has. */
  readonly blackholeRoute: boolean;
  readonly healthzIp: string;
  readonly healthzPort: number;
  readonly metricsPerPeer: boolean;
  readonly healthEndpoint: boolean;
  /** Of the CNI plugin host-local. */
  readonly hostLocalDir: string;
  /** Only what was given: the network config may say the rest. */
  readonly engine: EngineChoice;
  readonly verbosity: number;
}

export interface OptionsResult {
  readonly options: Options;
  /** What was passed over, for the log: a bad environment value is no reason not to start (as in flannel). */
  readonly warnings: readonly string[];
}

/** Throws a DaemonError of code USAGE: exit status 2. */
export function parseOptions(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): OptionsResult {
  const flags = parseFlags({ ...FLAGS, ...COMMAND_FLAGS }, argv);
  const warnings: string[] = [];
  const values = valuesOf(flags, environment, warnings);
  const read = new FlagValues(values);
  const { command, operands } = commandOf(flags, read);
  checkCommandFlags(command, flags);
  const kube = read.flag('kube-subnet-mgr') ? kubeOptions(command, read, environment) : undefined;
  const own = {
    kube,
    status: statusOptions(flags, read),
    cleanup: cleanupChoice(flags),
    supportFile: commandFlag(flags, 'o') || undefined,
    logFile: commandFlag(flags, 'log') || undefined,
    cni: { binDir: commandFlag(flags, 'cni-bin-dir'), confDir: commandFlag(flags, 'cni-conf-dir') },
  };
  return { options: { ...build(command, operands, read, warnings), ...own }, warnings };
}

function build(
  command: Command,
  operands: readonly string[],
  read: FlagValues,
  warnings: string[],
): Omit<Options, 'status' | 'cleanup' | 'supportFile' | 'logFile' | 'kube' | 'cni'> {
  return {
    command,
    operands,
    etcd: etcdOptions(read, warnings),
    interface: interfaceOptions(read),
    subnetFile: read.text('subnet-file'),
    cniConfFile: read.text('cni-conf-file'),
    identityFile: identityFile(read),
    takeOver: read.flag('take-over'),
    renewMarginMinutes: read.integer('subnet-lease-renew-margin', 1, 24 * 60 - 1),
    ipMasq: read.flag('ip-masq'),
    antiSpoofing: antiSpoofing(read),
    ipMasqFullyRandom: !read.flag('ip-masq-fully-random-disable'),
    forwardRules: read.flag('iptables-forward-rules'),
    rulesResyncSeconds: read.integer('iptables-resync', 1, 86_400),
    blackholeRoute: read.flag('ip-blackhole-route'),
    healthzIp: read.text('healthz-ip'),
    healthzPort: read.integer('healthz-port', 0, 65_535),
    metricsPerPeer: read.flag('metrics-per-peer'),
    healthEndpoint: read.flag('health-endpoint'),
    hostLocalDir: read.text('host-local-dir'),
    engine: engineChoice(read),
    verbosity: read.integer('v', 0, 100),
  };
}

function commandOf(flags: ParsedFlags, read: FlagValues): Pick<Options, 'command' | 'operands'> {
  if (read.flag('help') || read.flag('h')) return { command: 'help', operands: [] };
  if (read.flag('version')) return { command: 'version', operands: [] };
  return commandNamed(flags.positional);
}

function commandNamed(words: readonly string[]): {
  readonly command: CommandName;
  readonly operands: readonly string[];
} {
  if (words.length === 0) return { command: 'run', operands: [] };
  const command = COMMAND_NAMES.find((name) => name.split(' ').every((word, index) => word === words[index]));
  if (command === undefined) {
    const longer = COMMAND_NAMES.find((name) => name.startsWith(`${words[0]} `));
    if (longer !== undefined) throw usage(`Incomplete command: write "${commandLine(longer)}"`);
    throw usage(`Unknown command ${JSON.stringify(words[0])}: flanneld knows ${COMMAND_NAMES.join(', ')}`);
  }
  const operands = words.slice(command.split(' ').length);
  const { operands: wanted = [] } = commandSpec(command);
  if (operands.length > wanted.length) {
    throw usage(`Unexpected argument ${JSON.stringify(operands[wanted.length])}: write "${commandLine(command)}"`);
  }
  for (const [index, { name, values }] of wanted.entries()) {
    const given = operands[index];
    if (given === undefined) throw usage(`${name} is missing: write "${commandLine(command)}"`);
    if (values?.includes(given) === false) {
      throw usage(`Invalid ${name} ${JSON.stringify(given)}: use one of ${values.join(', ')}`);
    }
  }
  return { command, operands };
}

/** A flag of a command means nothing to another one. */
function checkCommandFlags(command: Command, { given }: ParsedFlags): void {
  const own: object = command === 'help' || command === 'version' ? COMMAND_FLAGS : commandSpec(command).flags;
  const foreign = [...given.keys()].find((name) => Object.hasOwn(COMMAND_FLAGS, name) && !Object.hasOwn(own, name));
  if (foreign === undefined) return;
  const users = COMMAND_NAMES.filter((name) => Object.hasOwn(commandSpec(name).flags, foreign));
  throw usage(`Flag -${foreign} is for "flanneld ${users.join('", "flanneld ')}"`);
}

/** Of a flag that only some command has: the environment says nothing of these. */
function commandFlag({ given }: ParsedFlags, name: string): string {
  return given.get(name)?.at(-1) ?? COMMAND_FLAGS[name]!.fallback;
}

function cleanupChoice(flags: ParsedFlags): CleanupChoice {
  const isOn = (name: string): boolean => booleanValue(commandFlag(flags, name));
  return { dryRun: isOn('dry-run'), force: isOn('force'), identity: isOn('identity'), bridge: isOn('bridge') };
}

function statusOptions(flags: ParsedFlags, read: FlagValues): StatusOptions {
  const seconds = Number(commandFlag(flags, 'timeout'));
  if (seconds < 1 || seconds > 86_400) {
    throw usage(`Invalid value ${seconds} for flag -timeout: must be from 1 to 86400`);
  }
  return {
    json: booleanValue(commandFlag(flags, 'json')),
    waitMs: booleanValue(commandFlag(flags, 'wait')) ? seconds * 1000 : undefined,
    isChosen: read.isGiven('subnet-file'),
  };
}

/** On a disk, so that it is there after a reboot. Daemons of several networks have subnet files of their own. */
function identityFile(read: FlagValues): string {
  const subnetFile = read.text('subnet-file');
  const beside = subnetFile === DEFAULT_SUBNET_FILE ? DEFAULT_IDENTITY_FILE : `${subnetFile}.identity.json`;
  return read.optional('identity-file') ?? beside;
}

/** Where masquerading is off, packets from outside the overlay come with their foreign source. */
function antiSpoofing(read: FlagValues): boolean {
  const text = read.text('anti-spoofing');
  if (text !== 'auto' && text !== 'on' && text !== 'off') {
    throw usage(`Invalid value ${JSON.stringify(text)} for flag -anti-spoofing: use one of auto, on, off`);
  }
  return text === 'on' || (text === 'auto' && read.flag('ip-masq'));
}

function engineChoice(read: FlagValues): EngineChoice {
  const name = read.optional('engine');
  return defined({
    engine: name === undefined ? undefined : engineName(name),
    offload: read.isGiven('engine-offload') ? read.flag('engine-offload') : undefined,
    busyPollUs: read.isGiven('engine-busy-poll') ? read.integer('engine-busy-poll', 0, MAX_BUSY_POLL_US) : undefined,
    queues: read.isGiven('engine-queues') ? read.integer('engine-queues', 1, MAX_QUEUES) : undefined,
    sourcePorts: read.isGiven('engine-source-ports')
      ? read.integer('engine-source-ports', 1, MAX_SOURCE_PORTS)
      : undefined,
  });
}

function engineName(text: string): EngineName {
  const name = ENGINE_NAMES.find((known) => known === text);
  if (name === undefined) {
    throw usage(`Invalid value ${JSON.stringify(text)} for flag -engine: use one of ${ENGINE_NAMES.join(', ')}`);
  }
  return name;
}

function etcdOptions(read: FlagValues, warnings: string[]): EtcdOptions {
  const keyFile = read.optional('etcd-keyfile');
  const certFile = read.optional('etcd-certfile');
  if ((keyFile === undefined) !== (certFile === undefined)) {
    throw usage('A client certificate for etcd needs both -etcd-certfile and -etcd-keyfile');
  }
  const caFile = read.optional('etcd-cafile');
  const { endpoints, notes } = endpointsOf(read, keyFile !== undefined || caFile !== undefined);
  warnings.push(...notes);
  return {
    endpoints,
    prefix: normalizePrefix(read.text('etcd-prefix')),
    ...defined({
      keyFile,
      certFile,
      caFile,
      username: read.optional('etcd-username'),
      password: read.optional('etcd-password'),
    }),
  };
}

function kubeOptions(
  command: Command,
  read: FlagValues,
  environment: Readonly<Record<string, string | undefined>>,
): KubeOptions {
  const variable = (name: string): string | undefined => environment[name] || undefined;
  const annotationPrefix = read.text('kube-annotation-prefix');
  annotationNames(annotationPrefix); // refuses a bad one
  const nodeName = variable('NODE_NAME');
  const [name, namespace] = [variable('POD_NAME'), variable('POD_NAMESPACE')];
  const pod = name !== undefined && namespace !== undefined ? { name, namespace } : undefined;
  if (nodeName === undefined && pod === undefined && (command === 'run' || command === 'release')) {
    throw usage(
      'With -kube-subnet-mgr flanneld has to know its node: set NODE_NAME in its environment to the name of the Node object, or POD_NAME and POD_NAMESPACE to those of its pod',
    );
  }
  const [host, port] = [variable('KUBERNETES_SERVICE_HOST'), variable('KUBERNETES_SERVICE_PORT')];
  return {
    annotationPrefix,
    netConfigPath: read.text('net-config-path'),
    setNetworkUnavailable: read.flag('set-node-network-unavailable'),
    ...defined({
      apiUrl: read.optional('kube-api-url'),
      kubeconfigFile: read.optional('kubeconfig-file'),
      nodeName,
      pod,
      service: host !== undefined && port !== undefined ? { host, port } : undefined,
    }),
  };
}

function endpointsOf(read: FlagValues, secure: boolean): Endpoints {
  let parsed: Endpoints;
  try {
    parsed = parseEndpoints(read.text('etcd-endpoints'), secure);
  } catch (error) {
    throw usage(messageOf(error));
  }
  if (parsed.endpoints.length === 0) throw usage('No etcd endpoint: give at least one with -etcd-endpoints');
  return parsed;
}

/** path.Join of Go: one slash between words, none at the end. */
function normalizePrefix(prefix: string): string {
  const words = prefix.split('/').filter((word) => word !== '' && word !== '.');
  return (prefix.startsWith('/') ? '/' : '') + words.join('/');
}

function interfaceOptions(read: FlagValues): InterfaceOptions {
  const patterns = read.all('iface-regex').map((source) => {
    try {
      return parseGoRegExp(source);
    } catch (error) {
      throw usage(`Invalid regular expression ${JSON.stringify(source)} for flag -iface-regex: ${messageOf(error)}`);
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
