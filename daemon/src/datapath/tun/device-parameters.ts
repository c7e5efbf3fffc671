/** Settings of the kernel for the overlay's device. */
import { isErrno } from '@flannel-ts/linux/errors';
import { writeSysctl } from '@flannel-ts/linux/sysctl';
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';

export function setDeviceParameters(name: string, hasIpv6: boolean, log: Logger): void {
  const parameters = {
    // The engine's ICMP errors have this node's own address as source; they would be martians (ip-sysctl.rst, accept_local).
    [`net/ipv4/conf/${name}/accept_local`]: 1,
    // Nobody is there to be solicited: no link-local address, no routers. An overlay of IPv4 needs no IPv6 at all.
    [`net/ipv6/conf/${name}/addr_gen_mode`]: 1,
    [`net/ipv6/conf/${name}/accept_ra`]: 0,
    [`net/ipv6/conf/${name}/disable_ipv6`]: hasIpv6 ? 0 : 1,
  };
  for (const [parameter, value] of Object.entries(parameters)) {
    try {
      writeSysctl(parameter, value);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) log.warn(`Cannot set ${parameter}: ${messageOf(error)}`);
    }
  }
}
