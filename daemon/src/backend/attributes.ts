import type { NodeAddresses } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { ExternalInterface } from '../underlay/select.ts';

/** What a lease says of them where each family inside travels by the same family outside. */
export function publicAddresses({ pools }: Pick<NetworkConfig, 'pools'>, external: ExternalInterface): NodeAddresses {
  const { publicIp, publicIpv6 } = external;
  return {
    ...(pools[4] && publicIp !== undefined && { publicIp }),
    ...(pools[6] && publicIpv6 !== undefined && { publicIpv6 }),
  };
}
