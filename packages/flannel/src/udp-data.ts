import type { Family } from '@flannel-ts/inet/family';
import { isJsonObject } from './go-json.ts';
import type { LeaseAttributes } from './lease.ts';

type V6Data = Pick<LeaseAttributes, 'backendV6Data'>;

/**
 * The BackendV6Data of the udp backend where the network has IPv6: it says that this node's engine carries IPv6, and
 * that it is reached by IPv6 and by nothing else. flannel's udp backend neither writes nor reads it: its nodes would drop such
 * packets or never receive them, so they are sent only to nodes that say this.
 */
export function udpV6Data(outer: Family): object {
  return outer === 6 ? { Inner: 'IPv6', Outer: 'IPv6' } : { Inner: 'IPv6' };
}

export function carriesIpv6({ backendV6Data }: V6Data): boolean {
  return isJsonObject(backendV6Data) && backendV6Data.Inner === 'IPv6';
}

/** The family of the address that a node is reached by. */
export function outerFamilyOf({ backendV6Data }: V6Data): Family {
  return isJsonObject(backendV6Data) && backendV6Data.Outer === 'IPv6' ? 6 : 4;
}
