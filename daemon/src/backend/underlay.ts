/** What a backend takes from the interface to the other nodes. Pure. */
import { backendOverhead, innerMtu } from '@flannel-ts/flannel/backend-needs';
import type { NodeAddresses } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { FAMILIES, type Family, familyName } from '@flannel-ts/inet/family';
import { formatIp } from '@flannel-ts/inet/ip';
import { MIN_IPV6_MTU } from '@flannel-ts/inet/mtu';
import { DaemonError } from '../errors.ts';
import type { AddressByFamily, ExternalInterface } from '../underlay/select.ts';

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
  const mtu = innerMtu(backend, outer, external.mtu);
  // The kernel takes IPv6 off a device whose MTU is smaller.
  if (inside.includes(6) && mtu < MIN_IPV6_MTU) {
    throw new DaemonError(
      'INVALID_CONFIG',
      `The MTU ${external.mtu} of ${external.name} leaves ${mtu} bytes inside the overlay, IPv6 needs ${MIN_IPV6_MTU}: ` +
        `set it to ${MIN_IPV6_MTU + backendOverhead(backend.type, outer)} or more${inside.includes(4) ? ', or EnableIPv6 to false' : ''}`,
    );
  }
  return mtu;
}

/** The same for a backend that adds as many bytes whichever family is outside. */
export function mtuForAll(config: NetworkConfig, external: ExternalInterface): number {
  const families = familiesOf(config);
  return mtuInside(config, families[0]!, families, external);
}

/** That the network has addresses of. */
export function familiesOf({ pools }: Pick<NetworkConfig, 'pools'>): Family[] {
  return FAMILIES.filter((family) => pools[family] !== undefined);
}

/** What a lease says of them where each family inside travels by the same family outside. */
export function publicAddresses({ pools }: Pick<NetworkConfig, 'pools'>, external: ExternalInterface): NodeAddresses {
  const { publicIp, publicIpv6 } = external;
  return {
    ...(pools[4] && publicIp !== undefined && { publicIp }),
    ...(pools[6] && publicIpv6 !== undefined && { publicIpv6 }),
  };
}

/** By which packets leave: behind a NAT the public one is no address of this host (flannel 2247). Throws NO_INTERFACE without one. */
export function localAddress<F extends Family>(
  type: string,
  family: F,
  external: ExternalInterface,
): NonNullable<AddressByFamily[F]> {
  const local = external.addresses[family];
  if (local !== undefined) return local;
  const there = Object.values(external.addresses).map(formatIp).join(', ');
  throw new DaemonError(
    'NO_INTERFACE',
    `${type} carries ${familyName(family)} between ${familyName(family)} addresses, and ${external.name} has ${there} only: ` +
      `add one to it, or choose another interface with -iface`,
  );
}
