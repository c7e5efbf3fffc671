import type { Family } from '@flannel-ts/inet/family';
import { MAX_LINK_MTU } from '@flannel-ts/inet/mtu';
import { type Port, parsePort } from '@flannel-ts/inet/port';
import { UDP_PORT, VXLAN_PORT, VXLAN_VNI, WIREGUARD_PORT, WIREGUARD_PORT_IPV6 } from './defaults.ts';
import { FlannelError } from './errors.ts';
import { FieldReader, isJsonObject, shorten } from './go-json.ts';
import { WIREGUARD_KEY } from './wireguard-data.ts';

/** What moves the packets of the udp backend: `ebpf` in the kernel, with the fast engine beside it. */
export const ENGINE_NAMES = ['auto', 'ebpf', 'fast', 'reference'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

/**
 * Additional keys of the udp backend, for a whole cluster. flannel ignores them, as it ignores every key that
 * it does not know (encoding/json). What is absent is left to each daemon's flags and defaults.
 */
export interface EngineChoice {
  readonly engine?: EngineName;
  /** Whether the fast engine may use offloads of the kernel. */
  readonly offload?: boolean;
  /** How long the fast engine looks for more packets before it sleeps, while that pays, in microseconds. */
  readonly busyPollUs?: number;
  /** Queues of the device, each with a thread of the fast engine. */
  readonly queues?: number;
  /** UDP ports that each engine sends from; every flow of pods has one of them. */
  readonly sourcePorts?: number;
}

/** The values of `Mode`, in the words of flannel's wireguard backend. */
const MODES = { ipv4: 4, ipv6: 6 } as const satisfies Record<string, Family>;

export interface UdpConfig extends EngineChoice {
  readonly type: 'udp';
  readonly port: Port;
  /** `Mode`, an addition to flannel's: which addresses of the nodes the tunnels run between. Default: outerFamily(). */
  readonly outer?: Family;
}

export const MAX_BUSY_POLL_US = 10_000;
export const DEFAULT_BUSY_POLL_US = 50;
/** Threads: more than this is a mistake. */
export const MAX_QUEUES = 16;
export const MAX_SOURCE_PORTS = 16;
export const DEFAULT_SOURCE_PORTS = 1;

export interface VxlanConfig {
  readonly type: 'vxlan';
  readonly vni: number;
  readonly port: Port;
  readonly learning: boolean;
  readonly gbp: boolean;
  readonly directRouting: boolean;
  /** MTU of the underlay; the external interface's when absent. */
  readonly mtu?: number;
}

export interface HostGwConfig {
  readonly type: 'host-gw';
}

/** Leases, routes to the own subnet and nothing else: something else carries the packets. */
export interface AllocConfig {
  readonly type: 'alloc';
}

export interface IpipConfig {
  readonly type: 'ipip';
  readonly directRouting: boolean;
}

/**
 * `separate`: a tunnel for each address family, between addresses of that family. The others have one tunnel for both: over
 * IPv4, over IPv6, or as the public addresses of the two nodes allow (flannel: Documentation/backends.md).
 */
export const WIREGUARD_MODES = ['separate', 'auto', 'ipv4', 'ipv6'] as const;
export type WireguardMode = (typeof WIREGUARD_MODES)[number];

export interface WireguardConfig {
  readonly type: 'wireguard';
  readonly listenPort: Port;
  /** Of the tunnel over IPv6 in mode `separate`. */
  readonly listenPortV6: Port;
  readonly mode: WireguardMode;
  /** Seconds; 0: off. */
  readonly persistentKeepaliveInterval: number;
  /** Secret: 32 bytes in base64, the same on all nodes. */
  readonly psk?: string;
  /** MTU of the underlay; the external interface's when absent. */
  readonly mtu?: number;
}

export type BackendConfig = UdpConfig | VxlanConfig | HostGwConfig | AllocConfig | IpipConfig | WireguardConfig;
export type BackendType = BackendConfig['type'];

/** A VXLAN network identifier has 24 bits (RFC 7348). */
const MAX_VNI = 0xff_ffff;

interface Codec<C> {
  readonly parse: (fields: FieldReader) => C;
  /** flannel's keys in the order of its documentation, what is at its default left out where flannel has the same. */
  readonly format: (config: C) => object;
}

const CODECS: { readonly [T in BackendType]: Codec<Extract<BackendConfig, { type: T }>> } = {
  udp: {
    parse: parseUdp,
    format: (config) => ({
      Type: 'udp',
      Port: config.port,
      ...(config.outer !== undefined && { Mode: config.outer === 6 ? 'ipv6' : 'ipv4' }),
      ...formatEngineChoice(config),
    }),
  },
  vxlan: {
    parse: parseVxlan,
    format: (config) => ({
      Type: 'vxlan',
      VNI: config.vni,
      Port: config.port,
      ...(config.gbp && { GBP: true }),
      ...(config.learning && { Learning: true }),
      ...(config.directRouting && { DirectRouting: true }),
      ...(config.mtu !== undefined && { MTU: config.mtu }),
    }),
  },
  'host-gw': {
    parse: () => ({ type: 'host-gw' }),
    format: () => ({ Type: 'host-gw' }),
  },
  alloc: {
    parse: () => ({ type: 'alloc' }),
    format: () => ({ Type: 'alloc' }),
  },
  ipip: {
    parse: (fields) => ({ type: 'ipip', directRouting: fields.boolean('DirectRouting') ?? false }),
    format: ({ directRouting }) => ({ Type: 'ipip', ...(directRouting && { DirectRouting: true }) }),
  },
  wireguard: {
    parse: parseWireguard,
    format: (config) => ({
      Type: 'wireguard',
      ListenPort: config.listenPort,
      ListenPortV6: config.listenPortV6,
      ...(config.mtu !== undefined && { MTU: config.mtu }),
      ...(config.psk !== undefined && { PSK: config.psk }),
      ...(config.persistentKeepaliveInterval !== 0 && {
        PersistentKeepaliveInterval: config.persistentKeepaliveInterval,
      }),
      ...(config.mode !== 'separate' && { Mode: config.mode }),
    }),
  },
};

/** The keys of each backend's object, as written: flannel and we read them in any letter case. */
export const BACKEND_KEYS: Readonly<Record<BackendType, readonly string[]>> = {
  udp: ['Type', 'Port', 'Mode', 'Engine', 'Offload', 'BusyPollUs', 'Queues', 'SourcePorts'],
  vxlan: ['Type', 'VNI', 'Port', 'GBP', 'Learning', 'DirectRouting', 'MTU'],
  'host-gw': ['Type'],
  alloc: ['Type'],
  ipip: ['Type', 'DirectRouting'],
  wireguard: ['Type', 'ListenPort', 'ListenPortV6', 'MTU', 'PSK', 'PersistentKeepaliveInterval', 'Mode'],
};

export const KNOWN_BACKENDS = Object.keys(CODECS) as readonly BackendType[];

const REMOVED = 'flannel itself has removed it in v0.20';

/** flannel has or had these, and they are not made here: the message says why instead of "unknown". */
const REFUSED: Readonly<Record<string, string>> = {
  // GHSA-vchx-5pr6-ffx2.
  extension: 'it runs commands of the network config as root on every node, for whoever can write to etcd',
  ipsec: 'it needs the daemon of strongSwan, where wireguard encrypts in the kernel',
  'tencent-vpc': 'it needs keys of a cloud account on every node',
  'ali-vpc': REMOVED,
  'aws-vpc': REMOVED,
  gce: REMOVED,
};

/** The value of `Backend` in the network config. No value means udp, as in flannel's code (its documentation says vxlan). */
export function parseBackendConfig(value: unknown): BackendConfig {
  if (value === undefined || value === null) return CODECS.udp.parse(new FieldReader({}, invalid));
  if (!isJsonObject(value)) throw invalid(`it is ${shorten(value)}: write an object like {"Type":"udp"}`);
  const fields = new FieldReader(value, invalid);
  // flannel lower-cases the type (backend/manager.go).
  const type = (fields.string('Type') ?? '').toLowerCase();
  if (!isBackendType(type)) throw unknownBackend(type);
  return CODECS[type].parse(fields);
}

export function formatBackendConfig(config: BackendConfig): object {
  return (CODECS[config.type] as Codec<BackendConfig>).format(config);
}

export function isBackendType(type: string): type is BackendType {
  return Object.hasOwn(CODECS, type);
}

function parseUdp(fields: FieldReader): UdpConfig {
  const outer = fields.parsed('Mode', parseMode);
  return {
    type: 'udp',
    port: port(fields, UDP_PORT),
    ...(outer !== undefined && { outer }),
    ...parseEngineChoice(fields),
  };
}

function parseMode(text: string): Family {
  if (Object.hasOwn(MODES, text)) return MODES[text as keyof typeof MODES];
  throw new RangeError(`${shorten(text)} is no mode of udp, use one of ${Object.keys(MODES).join(', ')}`);
}

function parseEngineChoice(fields: FieldReader): EngineChoice {
  const engine = fields.parsed('Engine', engineName);
  const offload = fields.boolean('Offload');
  const busyPollUs = fields.integerWithin('BusyPollUs', 0, MAX_BUSY_POLL_US);
  const queues = fields.integerWithin('Queues', 1, MAX_QUEUES);
  const sourcePorts = fields.integerWithin('SourcePorts', 1, MAX_SOURCE_PORTS);
  return {
    ...(engine !== undefined && { engine }),
    ...(offload !== undefined && { offload }),
    ...(busyPollUs !== undefined && { busyPollUs }),
    ...(queues !== undefined && { queues }),
    ...(sourcePorts !== undefined && { sourcePorts }),
  };
}

function formatEngineChoice({ engine, offload, busyPollUs, queues, sourcePorts }: EngineChoice): object {
  return {
    ...(engine !== undefined && { Engine: engine }),
    ...(offload !== undefined && { Offload: offload }),
    ...(busyPollUs !== undefined && { BusyPollUs: busyPollUs }),
    ...(queues !== undefined && { Queues: queues }),
    ...(sourcePorts !== undefined && { SourcePorts: sourcePorts }),
  };
}

function engineName(text: string): EngineName {
  const name = ENGINE_NAMES.find((known) => known === text);
  if (name === undefined) throw new RangeError(`${shorten(text)} is no engine, use one of ${ENGINE_NAMES.join(', ')}`);
  return name;
}

function parseVxlan(fields: FieldReader): VxlanConfig {
  const mtu = fields.integerWithin('MTU', 0, MAX_LINK_MTU);
  return {
    type: 'vxlan',
    vni: fields.integerWithin('VNI', 1, MAX_VNI) ?? VXLAN_VNI,
    port: port(fields, VXLAN_PORT),
    gbp: fields.boolean('GBP') ?? false,
    learning: fields.boolean('Learning') ?? false,
    directRouting: fields.boolean('DirectRouting') ?? false,
    ...(mtu && { mtu }),
  };
}

/** wg(8): in seconds, "between 1 and 65535 inclusive", or off. */
const MAX_KEEPALIVE = 65_535;

function parseWireguard(fields: FieldReader): WireguardConfig {
  const mtu = fields.integerWithin('MTU', 0, MAX_LINK_MTU);
  const psk = parsePsk(fields);
  return {
    type: 'wireguard',
    listenPort: port(fields, WIREGUARD_PORT, 'ListenPort'),
    listenPortV6: port(fields, WIREGUARD_PORT_IPV6, 'ListenPortV6'),
    mode: fields.parsed('Mode', parseWireguardMode) ?? 'separate',
    persistentKeepaliveInterval: fields.integerWithin('PersistentKeepaliveInterval', 0, MAX_KEEPALIVE) ?? 0,
    ...(psk !== undefined && { psk }),
    ...(mtu && { mtu }),
  };
}

/** The value is a secret and in no message. */
function parsePsk(fields: FieldReader): string | undefined {
  const value = fields.raw('PSK');
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && WIREGUARD_KEY.test(value)) return value;
  throw invalid('PSK is no WireGuard key: write what "wg genpsk" prints, 32 bytes in base64', 'PSK');
}

function parseWireguardMode(text: string): WireguardMode {
  const mode = WIREGUARD_MODES.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new RangeError(`${shorten(text)} is no mode of wireguard, use one of ${WIREGUARD_MODES.join(', ')}`);
}

/** Port 0 is flannel's way to say "the default". */
function port(fields: FieldReader, fallback: number, name = 'Port'): Port {
  return parsePort(fields.integerWithin(name, 0, 65_535) || fallback);
}

function unknownBackend(type: string): FlannelError {
  if (Object.hasOwn(REFUSED, type)) {
    return unusable(`Backend type ${type} is refused: ${REFUSED[type]}; ${advice()}`);
  }
  const name = type === '' ? 'none given' : /^[\w.-]{1,40}$/.test(type) ? type : shorten(type);
  // flannel's text is "unknown backend type: foo".
  return unusable(`Unknown backend type: ${name}, ${advice()}`);
}

function unusable(message: string): FlannelError {
  return new FlannelError('UNKNOWN_BACKEND', message, undefined, { key: 'Backend.Type', reason: message });
}

function advice(): string {
  return `use one of ${KNOWN_BACKENDS.join(', ')}`;
}

function invalid(reason: string, key?: string): FlannelError {
  const fault = { key: key === undefined ? 'Backend' : `Backend.${key}`, reason };
  const message = `Invalid Backend in the network config: ${reason}`;
  return new FlannelError('INVALID_NETWORK_CONFIG', message, undefined, fault);
}
