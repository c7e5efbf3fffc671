/** Whether the kernel has the families that the network has. */
import { existsSync } from 'node:fs';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { DaemonError } from '../errors.ts';

/** False with ipv6.disable=1 on the kernel's command line, and for a kernel built without IPv6. */
export function kernelHasIpv6(): boolean {
  return existsSync('/proc/sys/net/ipv6');
}

/** Throws INVALID_CONFIG for a network with IPv6 on a kernel without it. IPv6 that a sysctl turned off can be turned on. */
export function checkFamilies({ pools }: Pick<NetworkConfig, 'pools'>, hasIpv6: boolean): void {
  if (pools[6] === undefined || hasIpv6) return;
  throw new DaemonError(
    'INVALID_CONFIG',
    'The network has IPv6 (EnableIPv6), and this kernel has none: boot it without ipv6.disable=1, or set EnableIPv6 to false in the network config',
  );
}
