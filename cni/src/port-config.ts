import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import { CniError, ErrorCode } from './errors.ts';
import { arrayField, booleanField, integerField, objectField, objectsField, stringField } from './json.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';
const PROTOCOLS: readonly string[] = ['tcp', 'udp', 'sctp'];

export interface PortMapping {
  readonly protocol: Protocol;
  readonly hostPort: number;
  readonly containerPort: number;
  /** Every address of the node if absent; of one family, if it is the unspecified address of that family. */
  readonly hostIp?: Ip;
}

export interface PortSettings {
  readonly mappings: readonly PortMapping[];
  /** Pods of the same subnet and the node by 127.0.0.1 are masqueraded: what they sent would be answered past the node else. */
  readonly snat: boolean;
  /** Everybody is. */
  readonly masqAll: boolean;
}

/** Names of the reference plugin `portmap`; the mappings come from the runtime. */
export function parsePortSettings(conf: JsonObject): PortSettings {
  refuseUnsupported(conf);
  const runtime = objectField(conf, 'runtimeConfig') ?? {};
  const entries = objectsField(runtime, 'portMappings', 'runtimeConfig.portMappings') ?? [];
  return {
    mappings: entries.map(parseMapping),
    snat: booleanField(conf, 'snat') ?? true,
    masqAll: booleanField(conf, 'masqAll') ?? false,
  };
}

function parseMapping(entry: JsonObject): PortMapping {
  const hostPort = portField(entry, 'hostPort', 'host');
  const containerPort = portField(entry, 'containerPort', 'container');
  const protocol = (stringField(entry, 'protocol', 'portMappings.protocol') || 'tcp').toLowerCase();
  if (!PROTOCOLS.includes(protocol)) throw invalid(`Invalid protocol of a port mapping: ${protocol}`);
  const text = stringField(entry, 'hostIP', 'portMappings.hostIP') || undefined;
  const mapping = { protocol: protocol as Protocol, hostPort, containerPort };
  if (text === undefined) return mapping;
  try {
    return { ...mapping, hostIp: parseIp(text) };
  } catch (error) {
    throw invalid(`Invalid host IP of a port mapping: ${text}`, error);
  }
}

function portField(entry: JsonObject, name: string, side: string): number {
  const port = integerField(entry, name, `portMappings.${name}`) ?? 0;
  if (port < 1 || port > 65535) throw invalid(`Invalid ${side} port number: ${port}`);
  return port;
}

/** What would change which packets are meant. `backend` and `externalSetMarkChain` say how; the rules here do the same. */
function refuseUnsupported(conf: JsonObject): void {
  const backend = stringField(conf, 'backend') ?? '';
  if (backend !== '' && backend !== 'iptables' && backend !== 'nftables') throw invalid(`unknown backend: ${backend}`);
  const bit = integerField(conf, 'markMasqBit');
  if (bit !== undefined && (bit < 0 || bit > 31)) throw invalid('MasqMarkBit must be between 0 and 31');
  if (bit !== undefined && stringField(conf, 'externalSetMarkChain')) {
    throw invalid('Cannot specify externalSetMarkChain and markMasqBit');
  }
  if (bit !== undefined && bit !== MARK_BIT) {
    refuse('markMasqBit', bit, `masquerading is marked by bit ${MARK_BIT} here; leave the key out`);
  }
  for (const key of ['conditionsV4', 'conditionsV6']) {
    const conditions = arrayField(conf, key) ?? [];
    if (conditions.length > 0) refuse(key, conditions, 'mappings hold for all packets here; use hostIP to narrow them');
  }
}

/** The reference plugin's default of markMasqBit. */
export const MARK_BIT = 13;

function refuse(key: string, value: unknown, advice: string): never {
  throw new CniError(ErrorCode.unsupportedField, `unsupported field: ${key} = ${JSON.stringify(value)}`, advice);
}

function invalid(message: string, cause?: unknown): CniError {
  return new CniError(ErrorCode.invalidNetworkConfig, message, '', { cause });
}
