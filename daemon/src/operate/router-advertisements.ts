/**
 * A node that forwards IPv6 ignores router advertisements unless its interface says otherwise (accept_ra 2): the default route
 * that an advertisement gave would run out, on whatever interface it is.
 */
import { readSysctl, writeSysctl } from '@flannel-ts/linux/sysctl';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { RTPROT_RA } from '@flannel-ts/rtnetlink/constants';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { listRoutes } from '@flannel-ts/rtnetlink/route';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

/** To be called before forwarding is turned on. `external` is the interface to the other nodes. */
export function keepRouterAdvertisements(nl: Netlink, external: string, log: Logger): void {
  try {
    const indexes = new Set(listRoutes(nl, { family: 6, protocol: RTPROT_RA }).map(({ outIndex }) => outIndex));
    const names = [...indexes].map((index) => (index === undefined ? undefined : getLink(nl, index)?.name));
    for (const name of new Set([external, ...names])) {
      if (name !== undefined) acceptThem(name, log);
    }
  } catch (error) {
    log.warn(`Cannot see which interfaces have a route of a router advertisement: ${messageOf(error)}`);
  }
}

function acceptThem(link: string, log: Logger): void {
  const parameter = `net/ipv6/conf/${link}/accept_ra`;
  try {
    // 0 is somebody's choice: networkd, for one, reads advertisements itself.
    if (readSysctl(parameter) !== '1') return;
    writeSysctl(parameter, 2);
    log.info(`Set net.ipv6.conf.${link}.accept_ra to 2, so that it goes on to get its routes from routers`);
  } catch (error) {
    log.warn(`Cannot keep router advertisements for ${link}: ${messageOf(error)}`);
  }
}
