import { backendOverhead } from '@flannel-ts/flannel/backend-needs';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { FAMILIES, type Family } from '@flannel-ts/inet/family';
import { MIN_IPV6_MTU } from '@flannel-ts/inet/mtu';
import { DaemonError } from '../errors.ts';
import type { ExternalInterface } from '../underlay/select.ts';

/**
 * What is left of the interface's MTU, or of the one that the config gives the underlay, inside packets of the outer family. Throws
 * INVALID_CONFIG where that is too little for the families inside.
 */
export function mtuInside(
  { backend }: Pick<NetworkConfig, 'backend'>,
  outer: Family,
  inside: readonly Family[],
  external: Pick<ExternalInterface, 'mtu' | 'name'>,
): number {
  const overhead = backendOverhead(backend.type, outer);
  const configured = 'mtu' in backend ? backend.mtu : undefined;
  const mtu = (configured ?? external.mtu) - overhead;
  // The kernel takes IPv6 off a device whose MTU is smaller.
  if (inside.includes(6) && mtu < MIN_IPV6_MTU) {
    throw new DaemonError(
      'INVALID_CONFIG',
      `The MTU ${external.mtu} of ${external.name} leaves ${mtu} bytes inside the overlay, IPv6 needs ${MIN_IPV6_MTU}: ` +
        `set it to ${MIN_IPV6_MTU + overhead} or more${inside.includes(4) ? ', or EnableIPv6 to false' : ''}`,
    );
  }
  return mtu;
}

/** That the network has addresses of. */
export function familiesOf({ pools }: Pick<NetworkConfig, 'pools'>): Family[] {
  return FAMILIES.filter((family) => pools[family] !== undefined);
}
