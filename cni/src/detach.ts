import type { JsonObject } from '@flannel-ts/flannel/go-json';
import type { Ip } from '@flannel-ts/inet/ip';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent } from '@flannel-ts/rtnetlink/link';
import { ipamType } from './delegate.ts';
import { execPlugin } from './exec.ts';
import { readIp } from './ipam/address.ts';
import { storeDirectory } from './ipam/config.ts';
import { releaseOwner } from './ipam/host-local.ts';
import type { Owner } from './ipam/store.ts';
import { arrayField, booleanField, objectField, stringField } from './json.ts';
import { listMasquerade, removeMasquerade } from './masquerade.ts';
import { addressOfHostMac, hostInterfaceName } from './names.ts';
import type { Request } from './protocol.ts';
import { decodePreviousResult } from './result.ts';
import { findHostEnd } from './sandbox.ts';

/**
 * DEL by our own bridge. Every step is content with finding its work done, and the address goes last: as soon as it is free
 * the next pod may take it. `netns` is undefined when the namespace has gone.
 */
export function detach(request: Request, rendered: JsonObject, owner: Owner, netns: string | undefined): void {
  const hostName = hostInterfaceName(owner.containerId, owner.ifName);
  const seen = removeInterfaces(hostName, owner.ifName, netns);
  const expected = expectedAddresses(rendered);
  // Without the configuration of the ADD (its file is lost) there may be something to take back.
  if (booleanField(rendered, 'ipMasq', 'delegate.ipMasq') !== false) {
    removeMasquerade(seen.length === expected ? seen : masqueradedAs(hostName));
  }
  const type = ipamType(rendered);
  if (type === 'host-local') {
    const directory = storeDirectory(rendered, request.networkName);
    releaseOwner(directory, owner, [...seen, ...previousAddresses(request)], expected);
  } else if (type !== '') {
    execPlugin(type, 'DEL', request, rendered);
  }
}

/**
 * The pair goes by its host end, whose name we know even when the namespace has gone or the pod renamed its interface;
 * otherwise (another plugin made it) by its name in the pod. Returns the address that the host end tells of.
 */
function removeInterfaces(hostName: string, ifName: string, netns: string | undefined): Ip[] {
  const hint = withNetlink({}, (nl): Ip[] | undefined => {
    const end = findHostEnd(nl, hostName);
    if (end === undefined) return undefined;
    ensureLinkAbsent(nl, end.index);
    const ip = end.mac && addressOfHostMac(end.mac);
    return ip === undefined ? [] : [ip];
  });
  // No link can have a name with % in it (dev_alloc_name), but CNI_IFNAME may.
  if (hint === undefined && netns !== undefined && !ifName.includes('%')) {
    withNetlink({ netns }, (pod) => ensureLinkAbsent(pod, ifName));
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
