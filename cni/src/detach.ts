import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import type { Fd } from '@flannel-ts/linux/files';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent } from '@flannel-ts/rtnetlink/link';
import { ipamType } from './delegate.ts';
import { execPlugin } from './exec.ts';
import { readIp } from './ipam/address.ts';
import { storeDirectory } from './ipam/config.ts';
import { heldAddresses, releaseAddresses } from './ipam/host-local.ts';
import { type Owner, Store } from './ipam/store.ts';
import { arrayField, booleanField, objectField, stringField } from './json.ts';
import { removeMacCheck } from './mac-check.ts';
import { listMasquerade, removeMasquerade } from './masquerade.ts';
import { addressOfHostMac, hostInterfaceName } from './names.ts';
import type { Request } from './protocol.ts';
import { removeReferenceMasquerade } from './reference-masquerade.ts';
import { decodePreviousResult } from './result.ts';
import { findHostEnd } from './sandbox.ts';

/** What is known of the ADD that is to be undone. */
export interface Knowledge {
  /** The configuration is that of the ADD, and not today's. */
  readonly isOfAdd: boolean;
  /** Our own ADD left a file. */
  readonly isOurs: boolean;
  /** An earlier DEL has found everything gone. */
  readonly wasDeleted: boolean;
}

/**
 * DEL by our own bridge. Every step is content with finding its work done, and the address goes last: as soon as it is free
 * the next pod may take it. `sandbox` is undefined when the namespace has gone.
 */
export function detach(
  request: Request,
  rendered: JsonObject,
  owner: Owner,
  sandbox: Fd | undefined,
  knowledge: Knowledge,
): void {
  const hostName = hostInterfaceName(owner.containerId, owner.ifName);
  const seen = removeInterfaces(hostName, owner.ifName, sandbox);
  const isGuarded = booleanField(rendered, 'macspoofchk', 'delegate.macspoofchk') === true;
  if (!knowledge.wasDeleted && (isGuarded || !knowledge.isOfAdd)) removeMacCheck(hostName);
  // Without the configuration of the ADD (its file is lost) there may be something to take back, whatever today's says.
  const mayMasquerade = knowledge.isOfAdd ? booleanField(rendered, 'ipMasq', 'delegate.ipMasq') === true : true;
  if (mayMasquerade && !knowledge.isOurs && !knowledge.wasDeleted) {
    removeReferenceMasquerade({ network: request.networkName, containerId: owner.containerId }, request.deadline);
  }
  const type = ipamType(rendered);
  if (type !== 'host-local') {
    if (mayMasquerade && !knowledge.wasDeleted) removeMasquerade(masqueradedAs(hostName));
    if (type !== '') execPlugin(type, 'DEL', request, rendered);
    return;
  }
  const store = new Store(storeDirectory(rendered, request.networkName), request.deadline);
  const expected = expectedAddresses(rendered);
  const addresses = [...seen, ...previousAddresses(request)];
  const held = heldAddresses(store, owner, { addresses, expected, areAll: knowledge.wasDeleted });
  if (mayMasquerade) {
    removeMasquerade(held);
    if (held.length < expected && !knowledge.wasDeleted) removeLeftMasquerade(store, owner, hostName);
  }
  releaseAddresses(store, owner, held);
}

/**
 * What bears our name in the map although the address is ours no longer (somebody emptied the store): not if it is another's by now.
 * The lock keeps it from becoming that in between.
 */
function removeLeftMasquerade(store: Store, owner: Owner, hostName: string): void {
  const left = masqueradedAs(hostName);
  if (left.length === 0) return;
  const removeFree = (): void => {
    const taken = store.exists() ? store.names() : new Set<string>();
    removeMasquerade(left.filter((ip) => !taken.has(formatIp(ip)) || store.holds(ip, owner)));
  };
  if (store.exists()) store.locked(removeFree);
  else removeFree();
}

/**
 * The pair goes by its host end, whose name we know even when the namespace has gone or the pod renamed its interface;
 * otherwise (another plugin made it) by its name in the pod. Returns the address that the host end tells of.
 */
function removeInterfaces(hostName: string, ifName: string, sandbox: Fd | undefined): Ip[] {
  const hint = withNetlink({}, (nl): Ip[] | undefined => {
    const end = findHostEnd(nl, hostName);
    if (end === undefined) return undefined;
    ensureLinkAbsent(nl, end.index);
    const ip = end.mac && addressOfHostMac(end.mac);
    return ip === undefined ? [] : [ip];
  });
  // No link can have a name with % in it (dev_alloc_name), but CNI_IFNAME may.
  if (hint === undefined && sandbox !== undefined && !ifName.includes('%')) {
    withNetlink({ netns: sandbox }, (pod) => ensureLinkAbsent(pod, ifName));
  }
  return hint ?? [];
}

/** What prevResult says, if it says anything: it may be absent, or garbage, and DEL has to succeed all the same. */
function previousAddresses(request: Request): Ip[] {
  try {
    const ips = decodePreviousResult(request.config, request.version)?.ips ?? [];
    return ips.flatMap((entry) => readIp(entry.address.split('/')[0] ?? '') ?? []);
  } catch {
    return [];
  }
}

/** How many addresses an ADD of this configuration takes; infinite when that is not known. */
function expectedAddresses(rendered: JsonObject): number {
  const ipam = objectField(rendered, 'ipam') ?? {};
  const runtime = objectField(rendered, 'runtimeConfig') ?? {};
  const count =
    (arrayField(ipam, 'ranges', 'ipam.ranges')?.length ?? 0) +
    (arrayField(runtime, 'ipRanges', 'runtimeConfig.ipRanges')?.length ?? 0) +
    (stringField(ipam, 'subnet', 'ipam.subnet') ? 1 : 0);
  return count === 0 ? Number.POSITIVE_INFINITY : count;
}

function masqueradedAs(hostName: string): Ip[] {
  const own = listMasquerade().filter(({ owner }) => owner === hostName);
  return own.flatMap(({ address }) => readIp(address) ?? []);
}
