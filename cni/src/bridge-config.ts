import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { type Mac, parseMac } from '@flannel-ts/inet/mac';
import { MAX_LINK_MTU, MIN_LINK_MTU } from '@flannel-ts/inet/mtu';
import { CniError, ErrorCode } from './errors.ts';
import { booleanField, integerField, objectField, objectsField, stringField } from './json.ts';
import { type CniDns, decodeDns } from './result.ts';

/** The keys of the reference `bridge` plugin that we know; ipam is read where addresses are managed. */
export interface BridgeConfig {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
  readonly ipMasq: boolean;
  /** Undefined: the kernel's default. */
  readonly mtu: number | undefined;
  readonly hairpinMode: boolean;
  readonly promiscMode: boolean;
  readonly portIsolation: boolean;
  readonly enabledad: boolean;
  readonly disableContainerInterface: boolean;
  /** Undefined: no VLANs. */
  readonly vlans: VlanConfig | undefined;
  /** Drop what a pod sends with another MAC address than its own. */
  readonly macspoofchk: boolean;
  readonly mac: Mac | undefined;
  readonly dns: CniDns;
}

export interface VlanConfig {
  /** Of what the pod sends and gets without a tag. */
  readonly vlan: number | undefined;
  /** What the pod sends and gets with a tag: from the first to the last. */
  readonly trunk: readonly (readonly [first: number, last: number])[];
  /** The pod is in VLAN 1 as well. */
  readonly preserveDefault: boolean;
}

function invalid(message: string): CniError {
  return new CniError(ErrorCode.invalidNetworkConfig, message);
}

export function parseBridgeConfig(conf: JsonObject, cniArgs: ReadonlyMap<string, string>): BridgeConfig {
  checkMasqueradeBackend(conf);
  const flag = (name: string): boolean => booleanField(conf, name, `delegate.${name}`) ?? false;
  const config: BridgeConfig = {
    bridge: stringField(conf, 'bridge', 'delegate.bridge') || DEFAULT_BRIDGE,
    isGateway: flag('isGateway') || flag('isDefaultGateway'),
    isDefaultGateway: flag('isDefaultGateway'),
    forceAddress: flag('forceAddress'),
    ipMasq: flag('ipMasq'),
    mtu: parseMtu(conf),
    hairpinMode: flag('hairpinMode'),
    promiscMode: flag('promiscMode'),
    portIsolation: flag('portIsolation'),
    enabledad: flag('enabledad'),
    disableContainerInterface: flag('disableContainerInterface'),
    vlans: parseVlans(conf),
    macspoofchk: flag('macspoofchk'),
    mac: requestedMac(conf, cniArgs),
    dns: decodeDns(objectField(conf, 'dns') ?? {}),
  };
  if (config.hairpinMode && config.promiscMode)
    throw invalid('cannot set hairpin mode and promiscuous mode at the same time');
  if (config.disableContainerInterface && stringField(objectField(conf, 'ipam') ?? {}, 'type', 'ipam.type')) {
    throw invalid('cannot use IPAM when disabling the container interface');
  }
  return config;
}

/** Either name means the same here: it is always done by nftables, and taken back whoever has asked for it. */
function checkMasqueradeBackend(conf: JsonObject): void {
  const backend = stringField(conf, 'ipMasqBackend', 'delegate.ipMasqBackend') || 'nftables';
  if (backend !== 'nftables' && backend !== 'iptables') throw invalid(`unknown ipmasq backend: ${backend}`);
}

function parseVlans(conf: JsonObject): VlanConfig | undefined {
  const vlan = integerField(conf, 'vlan', 'delegate.vlan') ?? 0;
  if (vlan < 0 || vlan > MAX_VLAN) throw invalid(`invalid VLAN ID ${vlan} (must be between 0 and ${MAX_VLAN})`);
  const trunk = (objectsField(conf, 'vlanTrunk', 'delegate.vlanTrunk') ?? []).map(parseTrunk);
  if (vlan === 0 && trunk.length === 0) return undefined;
  // Without one of its own, a trunk's untagged packets are in VLAN 1.
  const preserveDefault = booleanField(conf, 'preserveDefaultVlan', 'delegate.preserveDefaultVlan') ?? false;
  return { vlan: vlan === 0 ? undefined : vlan, trunk, preserveDefault: preserveDefault || vlan === 0 };
}

const MAX_VLAN = 4094;

function parseTrunk(entry: JsonObject): readonly [number, number] {
  const field = (name: string): number | undefined => integerField(entry, name, `vlanTrunk.${name}`);
  const id = field('id');
  const [first, last] = [field('minID') ?? id, field('maxID') ?? id];
  if (first === undefined || last === undefined) throw invalid('minID and maxID should be configured simultaneously');
  if (first < 1 || last > MAX_VLAN) throw invalid(`incorrect trunk VLANs ${first} to ${last}: write 1 to ${MAX_VLAN}`);
  if (first > last) throw invalid('minID is greater than maxID in trunk parameter');
  return [first, last];
}

function parseMtu(conf: JsonObject): number | undefined {
  const mtu = integerField(conf, 'mtu', 'delegate.mtu') ?? 0;
  if (mtu === 0) return undefined;
  if (mtu < MIN_LINK_MTU || mtu > MAX_LINK_MTU) {
    throw invalid(`invalid MTU ${mtu}: the pod's interface takes ${MIN_LINK_MTU} to ${MAX_LINK_MTU}`);
  }
  return mtu;
}

/** CNI_ARGS `MAC=`, then args.cni.mac, then runtimeConfig.mac: the later one wins. */
function requestedMac(conf: JsonObject, cniArgs: ReadonlyMap<string, string>): Mac | undefined {
  const cni = objectField(objectField(conf, 'args') ?? {}, 'cni', 'args.cni') ?? {};
  const runtime = objectField(conf, 'runtimeConfig') ?? {};
  const text =
    stringField(runtime, 'mac', 'runtimeConfig.mac') || stringField(cni, 'mac', 'args.cni.mac') || cniArgs.get('MAC');
  if (!text) return undefined;
  let mac: Mac;
  try {
    mac = parseMac(text);
  } catch (error) {
    throw new CniError(ErrorCode.invalidNetworkConfig, `invalid MAC address: ${text}`, '', { cause: error });
  }
  // eth_validate_addr, net/ethernet/eth.c
  const firstByte = Number.parseInt(mac.slice(0, 2), 16);
  if ((firstByte & 1) === 1 || mac === '00:00:00:00:00:00') {
    throw invalid(`invalid MAC address: ${text} is not the address of one station`);
  }
  return mac;
}
