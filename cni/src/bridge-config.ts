import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { type Mac, parseMac } from '@flannel-ts/inet/mac';
import { MAX_LINK_MTU, MIN_LINK_MTU } from '@flannel-ts/inet/mtu';
import { CniError, ErrorCode } from './errors.ts';
import { arrayField, booleanField, integerField, objectField, stringField } from './json.ts';
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
  readonly mac: Mac | undefined;
  readonly dns: CniDns;
}

function invalid(message: string): CniError {
  return new CniError(ErrorCode.invalidNetworkConfig, message);
}

export function parseBridgeConfig(conf: JsonObject, cniArgs: ReadonlyMap<string, string>): BridgeConfig {
  refuseUnsupported(conf);
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
    mac: requestedMac(conf, cniArgs),
    dns: decodeDns(objectField(conf, 'dns') ?? {}),
  };
  if (config.hairpinMode && config.promiscMode)
    throw invalid('cannot set hairpin mode and promiscuous mode at the same time');
  if (config.disableContainerInterface) {
    throw invalid('cannot use IPAM when disabling the container interface');
  }
  return config;
}

/** Code 2 of the specification, whose message must hold key and value: better than a pod without its protection. */
function refuseUnsupported(conf: JsonObject): void {
  const refuse = (key: string, value: unknown, advice: string): never => {
    throw new CniError(
      ErrorCode.unsupportedField,
      `unsupported field: delegate.${key} = ${JSON.stringify(value)}`,
      advice,
    );
  };
  const advice = 'this bridge has no VLANs and no MAC filter: use another delegate.type for them';
  const vlan = integerField(conf, 'vlan', 'delegate.vlan');
  if (vlan) refuse('vlan', vlan, advice);
  const trunk = arrayField(conf, 'vlanTrunk', 'delegate.vlanTrunk');
  if (trunk && trunk.length > 0) refuse('vlanTrunk', trunk, advice);
  if (booleanField(conf, 'macspoofchk', 'delegate.macspoofchk')) refuse('macspoofchk', true, advice);
  const backend = stringField(conf, 'ipMasqBackend', 'delegate.ipMasqBackend');
  if (backend && backend !== 'nftables' && booleanField(conf, 'ipMasq')) {
    refuse('ipMasqBackend', backend, 'masquerading is done by nftables here');
  }
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
