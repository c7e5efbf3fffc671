import { DEFAULT_CNI_DELEGATE, DEFAULT_CNI_IPAM } from '@flannel-ts/flannel/defaults';
import { field, type Json, type JsonObject, newJsonObject, setField } from '@flannel-ts/flannel/go-json';
import type { NetConf } from '@flannel-ts/flannel/netconf';
import { parseSubnetEnv, type SubnetEnv, subnetEnvFailure } from '@flannel-ts/flannel/subnet-env';
import { formatPrefix, interfacePrefix } from '@flannel-ts/inet/prefix';
import { readTextFile } from '@flannel-ts/linux/text-files';
import { CniError, codeOf, ErrorCode, messageOf } from './errors.ts';
import { arrayField, objectField, stringField } from './json.ts';

/**
 * The configuration that flannel's meta plugin hands to its delegate, from the network's own configuration and the node's
 * subnet file. The same whether the delegate is our own bridge or another plugin, and the same as upstream writes
 * (flannel-io/cni-plugin flannel_linux.go), because it is kept on disk for DEL and either plugin may find it there.
 */
export function loadSubnetEnv(file: string): SubnetEnv {
  let text: string;
  try {
    text = readTextFile(file);
  } catch (error) {
    // The daemon has not got its lease yet, or is not there: worth another try.
    const isAbsent = codeOf(error) === 'ENOENT';
    const reason = isAbsent ? `open ${file}: no such file or directory` : messageOf(error);
    const code = isAbsent ? ErrorCode.tryAgainLater : ErrorCode.ioFailure;
    throw new CniError(code, subnetEnvFailure(reason), '', { cause: error });
  }
  try {
    return parseSubnetEnv(text, file);
  } catch (error) {
    const message = subnetEnvFailure(messageOf(error));
    throw new CniError(ErrorCode.invalidNetworkConfig, message, '', { cause: error });
  }
}

/** Without `node` (the subnet file is gone at DEL) ranges, routes and MTU stay open: giving back needs none of them. */
export function renderDelegate(conf: NetConf, node: SubnetEnv | undefined, args?: JsonObject): JsonObject {
  const delegate = newJsonObject(conf.delegate as JsonObject);
  // Upstream loses these, so that nobody gets the address or MAC asked for there.
  if (args !== undefined) setField(delegate, 'args', args);
  if (conf.runtimeConfig !== undefined) setField(delegate, 'runtimeConfig', conf.runtimeConfig as JsonObject);
  setField(delegate, 'name', conf.name);
  if (!stringField(delegate, 'type', 'delegate.type')) setField(delegate, 'type', DEFAULT_CNI_DELEGATE);
  if (node !== undefined) {
    if (field(delegate, 'ipMasq') === undefined) setField(delegate, 'ipMasq', !node.ipMasq);
    if (field(delegate, 'mtu') === undefined) setField(delegate, 'mtu', node.mtu);
  }
  if (delegateType(delegate) === 'bridge' && field(delegate, 'isGateway') === undefined) {
    setField(delegate, 'isGateway', true);
  }
  if (conf.cniVersion !== '') setField(delegate, 'cniVersion', conf.cniVersion);
  setField(delegate, 'ipam', renderIpam(conf.ipam as JsonObject | undefined, node));
  return sorted(delegate);
}

function renderIpam(own: JsonObject | undefined, node: SubnetEnv | undefined): JsonObject {
  const ipam = newJsonObject(own);
  if (!stringField(ipam, 'type', 'ipam.type')) setField(ipam, 'type', DEFAULT_CNI_IPAM);
  if (node === undefined) return ipam;
  const subnets: string[] = [];
  if (node.subnet !== undefined) subnets.push(formatPrefix(interfacePrefix(node.subnet)));
  if (node.ipv6Subnet !== undefined) subnets.push(formatPrefix(interfacePrefix(node.ipv6Subnet)));
  const ranges = subnets.map((subnet) => [{ subnet }]);
  setField(ipam, 'ranges', ranges);
  const networks = [...node.networks.map(formatPrefix), ...node.ipv6Networks.map(formatPrefix)];
  const routes: Json[] = [...(arrayField(ipam, 'routes', 'ipam.routes') ?? [])];
  for (const dst of networks) routes.push({ dst });
  setField(ipam, 'routes', routes);
  return ipam;
}

/** Go prints maps with their keys sorted. */
function sorted(value: JsonObject): JsonObject {
  const copy = newJsonObject();
  for (const key of Object.keys(value).sort()) {
    const inner = value[key] as Json;
    copy[key] =
      typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? sorted(inner as JsonObject) : inner;
  }
  return copy;
}

export function delegateType(rendered: JsonObject): string {
  return stringField(rendered, 'type', 'delegate.type') ?? '';
}

export function ipamType(rendered: JsonObject): string {
  return stringField(objectField(rendered, 'ipam') ?? {}, 'type', 'ipam.type') ?? '';
}
