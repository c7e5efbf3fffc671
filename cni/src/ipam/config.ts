import { DEFAULT_HOST_LOCAL_DATA_DIR } from '@flannel-ts/flannel/defaults';
import { isJsonArray, isJsonObject, type Json, type JsonObject } from '@flannel-ts/flannel/go-json';
import type { Ip } from '@flannel-ts/inet/ip';
import { CniError, ErrorCode } from '../errors.ts';
import { arrayField, objectField, stringField, stringsField } from '../json.ts';
import { type CniVersion, versionAtLeast } from '../protocol.ts';
import { type CniRoute, decodeRoutes } from '../result.ts';
import { readInterfaceAddress, readIp } from './address.ts';
import { checkRangeSets, parseRange, type Range, type RangeSet } from './allocate.ts';

/** host-local's configuration: the `ipam` object, with what the runtime asks for this container. */
export interface HostLocalConfig {
  /** Directory of this network's addresses. */
  readonly directory: string;
  readonly resolvConf: string | undefined;
  readonly routes: readonly CniRoute[];
  readonly rangeSets: readonly RangeSet[];
  readonly requested: readonly Ip[];
}

/** Where the addresses of a network are kept: all that releasing one needs. */
export function storeDirectory(conf: JsonObject, networkName: string): string {
  const ipam = objectField(conf, 'ipam');
  const dataDir = (ipam && stringField(ipam, 'dataDir', 'ipam.dataDir')) || DEFAULT_HOST_LOCAL_DATA_DIR;
  return `${dataDir.replace(/\/+$/, '')}/${networkName}`;
}

/**
 * Reads the configuration as host-local does. Range sets come in this order: runtimeConfig.ipRanges, the flat `subnet` of
 * the oldest form, `ranges`; their index names the `last_reserved_ip` file.
 */
export function parseHostLocal(
  conf: JsonObject,
  networkName: string,
  version: CniVersion,
  cniArgs: ReadonlyMap<string, string>,
): HostLocalConfig {
  const ipam = objectField(conf, 'ipam');
  if (ipam === undefined) throw new CniError(ErrorCode.invalidNetworkConfig, "IPAM config missing 'ipam' key");
  const runtime = objectField(conf, 'runtimeConfig') ?? {};
  const rangeSets = [
    ...parseRangeSets(arrayField(runtime, 'ipRanges', 'runtimeConfig.ipRanges'), 'runtimeConfig.ipRanges'),
    ...(stringField(ipam, 'subnet', 'ipam.subnet') ? [[rangeOf(ipam, 'ipam')]] : []),
    ...parseRangeSets(arrayField(ipam, 'ranges', 'ipam.ranges'), 'ipam.ranges'),
  ];
  if (rangeSets.length === 0) throw new CniError(ErrorCode.invalidNetworkConfig, 'no IP ranges specified');
  checkRangeSets(rangeSets);
  checkFamilies(rangeSets, version);
  return {
    directory: storeDirectory(conf, networkName),
    resolvConf: stringField(ipam, 'resolvConf', 'ipam.resolvConf') || undefined,
    routes: decodeRoutes(ipam),
    rangeSets,
    requested: requestedAddresses(conf, runtime, cniArgs),
  };
}

function rangeOf(value: Json, path: string): Range {
  if (!isJsonObject(value)) throw new CniError(ErrorCode.decodeFailure, `${path} must be an object with a subnet`);
  return parseRange({
    subnet: stringField(value, 'subnet', `${path}.subnet`) ?? '',
    rangeStart: stringField(value, 'rangeStart', `${path}.rangeStart`) || undefined,
    rangeEnd: stringField(value, 'rangeEnd', `${path}.rangeEnd`) || undefined,
    gateway: stringField(value, 'gateway', `${path}.gateway`) || undefined,
  });
}

function parseRangeSets(sets: readonly Json[] | undefined, path: string): RangeSet[] {
  return (sets ?? []).map((set, i) => {
    if (!isJsonArray(set)) throw new CniError(ErrorCode.decodeFailure, `${path}[${i}] must be a list of ranges`);
    try {
      return set.map((range, j) => rangeOf(range, `${path}[${i}][${j}]`));
    } catch (error) {
      if (!(error instanceof CniError) || error.code !== ErrorCode.invalidNetworkConfig) throw error;
      throw new CniError(error.code, `invalid range set ${i}: ${error.message}`);
    }
  });
}

/** Results before 0.3.0 have room for one address of each family. */
function checkFamilies(sets: readonly RangeSet[], version: CniVersion): void {
  if (versionAtLeast(version, '0.3.0')) return;
  for (const family of [4, 6]) {
    if (sets.filter((set) => set[0]?.subnet.family === family).length > 1) {
      throw new CniError(
        ErrorCode.invalidNetworkConfig,
        `CNI version ${version} does not support more than 1 address per family`,
      );
    }
  }
}

/** CNI_ARGS `IP=`, `args.cni.ips` and `runtimeConfig.ips`, each with or without a prefix length. */
function requestedAddresses(
  conf: JsonObject,
  runtime: JsonObject,
  cniArgs: ReadonlyMap<string, string>,
): readonly Ip[] {
  const args = objectField(conf, 'args') ?? {};
  const cni = objectField(args, 'cni', 'args.cni') ?? {};
  const texts = [
    ...(cniArgs.get('IP') ?? '').split(',').filter((text) => text !== ''),
    ...(stringsField(cni, 'ips', 'args.cni.ips') ?? []),
    ...(stringsField(runtime, 'ips', 'runtimeConfig.ips') ?? []),
  ];
  const found: Ip[] = [];
  for (const text of texts) {
    const ip = text.includes('/') ? readInterfaceAddress(text)?.address : readIp(text);
    if (ip === undefined) throw new CniError(ErrorCode.invalidNetworkConfig, `invalid requested IP address: ${text}`);
    if (!found.includes(ip)) found.push(ip);
  }
  return found;
}
