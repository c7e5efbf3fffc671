import type { OuterMode } from './backend-config.ts';
import { isJsonObject } from './go-json.ts';
import type { LeaseAttributes } from './lease.ts';

type V6Data = Pick<LeaseAttributes, 'backendV6Data'>;

/**
 * What a node of ours writes as BackendV6Data for the udp backend where the network has IPv6: that its engine carries IPv6, and
 * that it is reached by IPv6 and by nothing else. flannel's udp writes none and looks at none: its nodes would drop such
 * packets, or not be there for them, so they are sent only to nodes that say this.
 */
export function udpV6Data(mode: OuterMode): object {
  return mode === 'ipv6' ? { Inner: 'IPv6', Outer: 'IPv6' } : { Inner: 'IPv6' };
}

export function carriesIpv6({ backendV6Data }: V6Data): boolean {
  return isJsonObject(backendV6Data) && backendV6Data.Inner === 'IPv6';
}

/** By which of its addresses a node is reached. */
export function outerModeOf({ backendV6Data }: V6Data): OuterMode {
  return isJsonObject(backendV6Data) && backendV6Data.Outer === 'IPv6' ? 'ipv6' : 'ipv4';
}
