import { isJsonObject } from './go-json.ts';
import type { LeaseAttributes } from './lease.ts';

/**
 * What a node of ours writes as BackendV6Data for the udp backend when its engine carries IPv6. flannel's udp writes none and
 * looks at none: its nodes would drop such packets, so they are sent only to nodes that say this.
 */
export const UDP_V6_DATA = { Inner: 'IPv6' } as const;

export function carriesIpv6({ backendV6Data }: Pick<LeaseAttributes, 'backendV6Data'>): boolean {
  return isJsonObject(backendV6Data) && backendV6Data.Inner === UDP_V6_DATA.Inner;
}
